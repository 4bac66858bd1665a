"""`make bench-realism`: how near the made-up shop is to real logs, and whether its questions are as hard as real ones.

Marginals of sessions (a pause of 30 minutes ends one) beside those of real logs: the mix of what both have (views, wishlist,
carts, purchases), events in a session, seconds between events, sessions with a cart and with a purchase. Distances: total
variation of the mix, Kolmogorov-Smirnov of lengths and pauses, differences of rates. The shop is fitted to Taobao; the other
logs show how far real shops are from each other. Where a log is not on this machine it is left out.

Then three questions are put to a logistic regression on what a site can see, beside the best that anybody could do who
knows the shoppers' latents. Made up all the same: never to be shown as real data.

`python -m bench.realism --fit` writes models/shop/fitted.json from Taobao.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bench import report
from models.families.logistic import Logistic
from models.families.table import Array, Doubles, logit
from models.metrics import roc_auc
from models.shop import browsing
from models.shop.browsing import CODE, STEPS, TYPES, Events
from models.shop.catalogue import ITEMS, Catalogue, category
from models.shop.panel import Panel, next_need
from models.shop.population import MARGIN_SHARE, NOTHING, Population
from streams import loaders
from streams.loaders import DataMissing

LOGS = ("taobao", "jdata", "rees46")
WINDOW = {
    "taobao": (1_511_539_200_000, 1_512_316_800_000)
}  # nine days, ms; the few rows outside are mistakes
COMMON = ("item_view", "wishlist", "add_to_cart", "purchase")
PAUSE_MS = 1_800_000
SHOPPERS, DAYS = 20_000, 28
PREFIX = 4  # steps of a session that are known when its purchase is asked for
PATHS = 40  # of needs, over which what is to come is averaged
FITTED = Path(browsing.__file__).with_name("fitted.json")


class Marginals(NamedTuple):
    """mix (4,), of COMMON; length: events of each session; pause: seconds between events of one; rates of sessions."""

    mix: Doubles
    length: Array
    pause: Doubles
    with_cart: float
    with_purchase: float


def marginals(shopper: Array, time: Array, kind: Array) -> Marginals:
    """Of events (n,): whose, when in ms, index in COMMON."""
    order = np.lexsort((time, shopper))
    shopper, time, kind = shopper[order], time[order], kind[order]
    new = np.append(True, (np.diff(shopper) != 0) | (np.diff(time) > PAUSE_MS))
    session = np.cumsum(new) - 1
    sessions = int(session[-1]) + 1
    having = [np.bincount(session, kind == COMMON.index(name), sessions) > 0 for name in COMMON[2:]]
    return Marginals(
        np.bincount(kind, minlength=len(COMMON)) / len(kind),
        np.bincount(session),
        np.diff(time)[~new[1:]] / 1000,
        float(having[0].mean()),
        float(having[1].mean()),
    )


def of_log(name: str) -> Marginals:
    """Of a real log. A click is a view. Raises DataMissing."""
    rows = pa.Table.from_batches(list(loaders.open(name).events()))
    time = rows["event_time"].cast(pa.int64()).to_numpy()
    named = rows["event_type"].to_numpy(zero_copy_only=False).astype(str)
    named = np.where(named == "click", "item_view", named)
    _, shopper = np.unique(rows["user_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    first, last = WINDOW.get(name, (0, 1 << 62))
    return _common(shopper, time, named, (time >= first) & (time < last))


def _common(shopper: Array, time: Array, named: Array, kept: Array) -> Marginals:
    kept = kept & np.isin(named, COMMON)
    kind = np.searchsorted(np.sort(COMMON), named[kept])
    return marginals(shopper[kept], time[kept], np.argsort(COMMON)[kind])


def distances(one: Marginals, other: Marginals) -> dict[str, float]:
    """Between two shops; 0 is alike."""
    from scipy.stats import ks_2samp

    return {
        "mix_total_variation": float(np.abs(one.mix - other.mix).sum() / 2),
        "length_ks": float(ks_2samp(one.length, other.length).statistic),
        "pause_ks": float(ks_2samp(one.pause, other.pause).statistic),
        "cart_rate": abs(one.with_cart - other.with_cart),
        "buy_rate": abs(one.with_purchase - other.with_purchase),
    }


def told(one: Marginals) -> dict[str, float]:
    """Of one shop, as figures."""
    return {
        **{f"share_{name}": float(share) for name, share in zip(COMMON, one.mix, strict=True)},
        **{f"length_p{part}": float(np.percentile(one.length, part)) for part in (25, 50, 75, 90)},
        **{f"pause_s_p{part}": float(np.percentile(one.pause, part)) for part in (25, 50, 75, 90)},
        "sessions_with_cart": one.with_cart,
        "sessions_with_purchase": one.with_purchase,
    }


class Days(NamedTuple):
    """What was made up: events; of each session the shopper, what is seen of him, his chance then, whether he bought."""

    events: Events
    shopper: Array
    seen: Doubles
    chance: Doubles
    bought: Array


def made_up(panel: Panel, catalogue: Catalogue, days: int, seed: int) -> Days:
    """Days without campaigns."""
    rng, first, parts = np.random.default_rng((seed, 31)), 0, []
    for _ in range(days):
        chance, seen, day = panel.truth().converted[:, NOTHING], panel.seen(), panel.day
        came = panel.step(np.full(len(panel.population), NOTHING))
        looks = rng.random(len(chance)) < browsing.visits_only(chance)
        who = np.flatnonzero((came.converted > 0) | looks)
        begin = browsing.starts(len(who), day * 86_400_000, rng)
        events = browsing.sessions(catalogue, who, begin, came.revenue[who], first, rng)
        parts.append(Days(events, who, seen[who], chance[who], came.converted[who]))
        first += len(who)
    return Days(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def purchase(found: Days) -> tuple[float, float]:
    """AUC of the purchase in a session after PREFIX steps: by what is seen, and the best there is."""
    steps = np.array([CODE[name] for name in STEPS])
    first_page = np.append(True, np.diff(found.events["session"]) != 0)
    rows = found.events[np.isin(found.events["type"], steps) & ~first_page]
    place = np.arange(len(rows)) - np.searchsorted(rows["session"], rows["session"])
    rows = rows[place < PREFIX]
    count = np.bincount(rows["session"], minlength=len(found.shopper))
    counts = np.column_stack(
        [np.bincount(rows["session"], rows["type"] == step, len(found.shopper)) for step in steps]
    )
    asked = count == PREFIX
    seen = np.hstack([found.seen, counts])[asked]
    best = logit(browsing.buys_in_session(found.chance)) + browsing.told(counts)
    return judged(seen, found.bought[asked], best[asked], found.shopper[asked])


def clicks(found: Days, catalogue: Catalogue) -> tuple[float, float]:
    """AUC of the click on an impression: place, earlier clicks on the item, earlier looks at its category."""
    shown = found.events[found.events["type"] == CODE["impression"]]
    hits = found.events[found.events["type"] == CODE["click"]]
    key = shown["session"] * browsing.SHOWN + shown["place"]
    clicked = np.isin(key, hits["session"] * browsing.SHOWN + hits["place"])
    half = int(shown["session"].max()) // 2
    early, late = shown["session"] <= half, shown["session"] > half
    rate = (np.bincount(shown["item"][early], clicked[early], ITEMS) + 2.0) / (
        np.bincount(shown["item"][early], minlength=ITEMS) + 25.0
    )
    looked = found.events[(found.events["type"] == CODE["item_view"]) & (found.events["session"] <= half)]
    width = int(category(np.array([ITEMS - 1]))[0]) + 1
    seen = np.bincount(looked["shopper"] * width + category(looked["item"]), minlength=SHOPPERS * width)
    share = (seen.reshape(-1, width) + 0.2) / (seen.reshape(-1, width) + 0.2).sum(axis=1, keepdims=True)
    rows = shown[late]
    inputs = np.column_stack(
        [rows["place"], logit(rate[rows["item"]]), np.log(share[rows["shopper"], category(rows["item"])])]
    )
    best = browsing.click_chance(catalogue, rows["shopper"], rows["item"], rows["place"])
    return judged(inputs, clicked[late], best, rows["shopper"])


def churn(panel: Panel, orders: Array) -> tuple[float, float]:
    """AUC of no order in the DAYS to come, by recency, frequency and money; who had an order before is asked."""
    population, day = panel.population, panel.day
    had = orders.any(axis=1)
    recency = np.argmax(orders[:, ::-1] > 0, axis=1)
    before = panel.before
    inputs = np.column_stack(
        [recency, orders.sum(axis=1), np.log1p(before.orders), np.log1p(before.revenue * MARGIN_SHARE)]
    )
    stays = np.zeros(len(population))
    rng = np.random.default_rng((day, 32))
    for _ in range(PATHS):
        need, away = panel.need(), np.ones(len(population))
        for ahead in range(DAYS):
            away *= 1.0 - population.chances(day + ahead, need, np.zeros(len(need)))[:, NOTHING]
            need = next_need(need, rng)
        stays += away / PATHS
    later = np.zeros(len(population))
    for _ in range(DAYS):
        later += panel.step(np.full(len(population), NOTHING)).converted
    rows = np.flatnonzero(had)
    return judged(inputs[rows], later[rows] == 0, stays[rows], rows)


def judged(inputs: Array, labels: Array, best: Array, shopper: Array) -> tuple[float, float]:
    """AUC on one half of the shoppers of a logistic regression that learnt from the other, and of `best` there."""
    learnt = shopper % 2 == 0
    model = Logistic().fit(inputs[learnt], labels[learnt].astype(float))
    asked = labels[~learnt].astype(bool)
    return roc_auc(asked, model.predict(inputs[~learnt])), roc_auc(asked, best[~learnt])


def fit() -> None:
    """What browsing takes over from Taobao: logs of lengths and pauses, and shares of steps."""
    real = of_log("taobao")
    views = 1.0 - real.mix[COMMON.index("purchase")]
    pause = np.log(real.pause[real.pause > 0])
    known: dict[str, Any] = {
        "source": "taobao",
        "length_log_mean": float(np.log(np.maximum(real.length - 0.5, 0.5)).mean()),
        "length_log_deviation": float(np.log(np.maximum(real.length - 0.5, 0.5)).std()),
        "gap_log_mean": float(pause.mean()),
        "gap_log_deviation": float(pause.std()),
        "wishlist_share": float(real.mix[COMMON.index("wishlist")] / views),
        "cart_share": float(real.mix[COMMON.index("add_to_cart")] / views),
    }
    tidy = {name: one if isinstance(one, str) else float(f"{one:.4g}") for name, one in known.items()}
    FITTED.write_text(json.dumps(tidy, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    if "--fit" in sys.argv:
        fit()
        return 0
    shoppers = 4_000 if report.fast() else SHOPPERS
    panel, catalogue = Panel(Population.draw(shoppers, 0), 0), Catalogue.draw(shoppers, 0)
    found = made_up(panel, catalogue, DAYS, 0)
    orders = np.zeros((shoppers, DAYS))
    days = (
        found.events["time"][np.append(True, np.diff(found.events["session"]) != 0)] // 86_400_000
    ).astype(int)
    np.add.at(orders, (found.shopper, days), found.bought)
    ours = _common(
        found.events["shopper"],
        found.events["time"],
        np.array(TYPES)[found.events["type"]],
        np.ones(len(found.events), bool),
    )
    figures: dict[str, Any] = {"marginals": {"made_up": told(ours)}, "distance_to": {}}
    for name in LOGS:
        try:
            real = of_log(name)
        except DataMissing as absent:
            print(f"skipped {name}: {absent}")
            continue
        figures["marginals"][name] = told(real)
        figures["distance_to"][name] = distances(ours, real)
    bands = {
        "purchase in session": (purchase(found), 0.75, 0.93),
        "click": (clicks(found, catalogue), 0.60, 0.70),
        "churn": (churn(panel, orders), 0.70, 0.80),
    }
    bars = []
    for name, ((auc, best), low, high) in bands.items():
        bars += [report.at_least(f"AUC of {name}", auc, low), report.at_most(f"AUC of {name}", auc, high)]
        figures.setdefault("auc", {})[name.replace(" ", "_")] = {"seen": auc, "best_possible": best}
    return report.finish("realism", figures, bars, report.libraries(("scikit-learn", "scipy")), report.fast())


if __name__ == "__main__":
    sys.exit(main())
