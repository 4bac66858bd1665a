"""Sessions: what shoppers do on the site, in the proportions of a real log (fitted.json, by `python -m bench.realism --fit`).

Who buys in a session is given (panel.py); here it becomes page views, searches, items looked at, carts, checkout, purchase.
Steps of a session are drawn one by one from the shares of BUYER or LOOKER, so that what a prefix of a session tells of its
end is known exactly: `told`. Lists shown to a shopper are impressions, clicked by taste, position and appeal.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles, sigmoid
from models.shop.catalogue import Catalogue

FITTED = json.loads(Path(__file__).with_name("fitted.json").read_text(encoding="utf-8"))
TYPES = (
    "page_view",
    "item_view",
    "search",
    "wishlist",
    "add_to_cart",
    "remove_from_cart",
    "checkout_start",
    "purchase",
    "impression",
    "click",
    "coupon_redeem",
    "intervention_exposed",
    "consent",
    "return",
)
CODE = {name: code for code, name in enumerate(TYPES)}
STEPS = ("item_view", "search", "wishlist", "add_to_cart", "remove_from_cart", "page_view")
BOUGHT = {"checkout_start": 40, "purchase": 75}  # seconds from the last step of a session that buys
SHOWN = 4  # places of the list that a session begins with
LONGER = 0.5  # log of how much more steps a session has that buys
GAP_MOST = 1750.0  # seconds between two events of a session: below what splits sessions
HOURS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 3, 5, 6, 7, 7, 7, 7, 7, 6, 6, 6, 7, 8, 9, 9, 7, 5], float
)  # of visits, by hour

EVENT = np.dtype(
    [
        ("time", "<i8"),  # ms
        ("shopper", "<i4"),
        ("session", "<i8"),
        ("item", "<i4"),  # -1: none
        ("price", "<f8"),  # NaN: none
        ("type", "u1"),  # index in TYPES
        ("place", "i1"),  # of an impression or click in its list, -1: none
        ("intervention", "<i4"),  # whose it is: a number that the shop keeps, -1: none
    ]
)
Events = npt.NDArray[np.void]


def shares(buys: bool) -> Doubles:
    """Of STEPS (6,). Who buys puts more into the cart, and searches more."""
    cart = FITTED["cart_share"] * (1.9 if buys else 0.8)
    rest = np.array([0.0, 0.11 if buys else 0.08, FITTED["wishlist_share"], cart, 0.25 * cart, 0.05])
    return np.array([1.0 - rest.sum(), *rest[1:]])


LOOKER, BUYER = shares(False), shares(True)


def told(steps: Array) -> Doubles:
    """log P(steps | buys) - log P(steps | does not) (n,), of how many of each of STEPS (n, 6) were seen."""
    return np.asarray(steps @ np.log(BUYER / LOOKER))


def visits(chance: Array) -> Doubles:
    """P(a session today) (N,) of who orders with `chance` (N,): visits grow slower than orders do."""
    return np.asarray(1.0 - (1.0 - chance) * (1.0 - sigmoid(-0.15 + 0.5 * (np.log(chance) + 4.0))))


def visits_only(chance: Array) -> Doubles:
    """P(a session today) (N,) of who does not order."""
    return np.asarray(1.0 - (1.0 - visits(chance)) / (1.0 - chance))


def buys_in_session(chance: Array) -> Doubles:
    """P(order | a session) (N,)."""
    return np.asarray(chance / visits(chance))


def starts(count: int, day_ms: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Moments (count,), ms, at which sessions begin in the day that begins at `day_ms`."""
    hour = rng.choice(24, count, p=HOURS / HOURS.sum())
    return np.asarray(day_ms + (hour * 3_600_000 + rng.integers(0, 3_600_000, count)), np.int64)


def sessions(
    catalogue: Catalogue, shopper: Array, begin: Array, revenue: Array, first: int, rng: np.random.Generator
) -> Events:
    """Events of n sessions, by session and then time. shopper (n,); begin (n,) ms; revenue (n,), 0: does not buy.

    first: number of the first session; the others follow.
    """
    buys = revenue > 0
    length = _lengths(buys, rng)
    of = np.repeat(np.arange(len(shopper)), length)  # session of each step
    step = np.where(
        buys[of],
        rng.choice(len(STEPS), len(of), p=BUYER),
        rng.choice(len(STEPS), len(of), p=LOOKER),
    )
    gaps = np.minimum(
        np.exp(rng.normal(FITTED["gap_log_mean"], FITTED["gap_log_deviation"], len(of))), GAP_MOST
    )
    ends = np.cumsum(length)
    total = np.cumsum(gaps)
    since = total - np.repeat(np.concatenate([[0.0], total[ends[:-1] - 1]]), length) if len(of) else total
    time = begin[of] + (1000 * since).astype(np.int64)
    body = plain(shopper[of], first + of, time, np.array([CODE[name] for name in STEPS])[step])
    about = np.isin(body["type"], [CODE[name] for name in STEPS if name not in ("search", "page_view")])
    body["item"][about] = catalogue.looked_at(body["shopper"][about], rng)
    body["price"][about] = catalogue.price[body["item"][about]]
    bought = _bought(
        catalogue, shopper[buys], first + np.flatnonzero(buys), time[ends - 1][buys], revenue[buys], rng
    )
    shown = _shown(catalogue, shopper, first + np.arange(len(shopper)), begin, rng)
    found = np.concatenate([shown, body, *bought])
    return found[np.lexsort((found["time"], found["session"]))]


def click_chance(catalogue: Catalogue, shopper: Array, item: Array, place: Array) -> Doubles:
    """P(an impression is clicked) (n,); place counts from 0."""
    liked = catalogue.likes(shopper, item)
    return sigmoid(-2.9 + 0.9 * liked + catalogue.appeal[item] - 0.25 * place)


def _lengths(buys: Array, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    mean = FITTED["length_log_mean"] + LONGER * buys
    steps = np.exp(rng.normal(mean, FITTED["length_log_deviation"]))
    return np.asarray(np.clip(np.ceil(steps), 1, 300), np.int64)


def plain(shopper: Array, session: Array, time: Array, types: Array | int) -> Events:
    """Events (n,) about nothing in particular."""
    found = np.zeros(len(shopper), EVENT)
    found["time"], found["shopper"], found["session"], found["type"] = time, shopper, session, types
    found["item"], found["place"], found["intervention"], found["price"] = -1, -1, -1, np.nan
    return found


def _bought(
    catalogue: Catalogue,
    shopper: Array,
    session: Array,
    last: Array,
    revenue: Array,
    rng: np.random.Generator,
) -> list[Events]:
    """Checkout and purchase of who buys; an order of one line, its price the order's revenue."""
    found = [plain(shopper, session, last + 1000 * after, CODE[name]) for name, after in BOUGHT.items()]
    found[-1]["item"] = catalogue.looked_at(shopper, rng)
    found[-1]["price"] = np.round(revenue, 2)
    return found


def _shown(
    catalogue: Catalogue, shopper: Array, session: Array, begin: Array, rng: np.random.Generator
) -> Events:
    """A page, and the list on it, impressions and clicks, at the beginning of sessions."""
    page = plain(shopper, session, begin, CODE["page_view"])
    who, of = np.repeat(shopper, SHOWN), np.repeat(session, SHOWN)
    seen = plain(who, of, np.repeat(begin, SHOWN) + 300, CODE["impression"])
    seen["place"] = np.tile(np.arange(SHOWN), len(shopper))
    seen["item"] = rng.integers(0, len(catalogue.price), len(seen))
    clicked = seen[rng.random(len(seen)) < click_chance(catalogue, who, seen["item"], seen["place"])]
    clicked["type"] = CODE["click"]
    clicked["time"] += 2000 + 1000 * clicked["place"].astype(np.int64)
    return np.concatenate([page, seen, clicked])
