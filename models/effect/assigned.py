"""From decisions and outcomes to one row per shopper, by what chance gave the shopper.

Compared is what chance decided and nothing else (intention to treat): a shopper counts from the first decision at which the
hold-out was asked, as held out or as not, whatever came of that decision or of later ones. Whoever was not held out counts
as treated even where a cap, a low value or quiet hours held the message back, because for the held out nobody asked. In an
experiment, rules are asked before arms, so there the first decision that was sent or withheld by the arm counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles
from models.ids import decision_id

# Reasons that come before the hold-out is asked, or without asking: nothing was drawn.
NOT_ASSIGNED = ("kill_switch", "no_consent", "bot", "withdrawn")
# Reasons that come once all rules were asked and the arm alone decides. What waits for its hour counts from then on, also
# when a purchase calls it back: from a control arm nothing is called back.
DRAWN = ("emitted", "deferred", "control")
AMOUNTS = (
    "orders",
    "revenue",
    "returned",
    "margin",
    "coupon_cost",
    "contact_cost",
    "contacts",
    "redemptions",
)
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decisions:
    """Columns (N,) of decisions with their outcomes; `told`: whether the outcome is there, `complete`: and was told once its
    window was over. margin NaN: not told."""

    user: Array
    campaign: Array
    kind: Array
    reason: Array
    arm: Array
    time: npt.NDArray[np.int64]  # ms
    value: Doubles  # expected value of acting, money
    propensity: Doubles
    policy: Array  # its version
    learned_version: Array  # '' where the arm is the shopper's
    drawn: Flags  # see `is_draw`
    told: Flags
    complete: Flags
    unsubscribed: Flags
    orders: Doubles
    revenue: Doubles
    returned: Doubles
    margin: Doubles
    coupon_cost: Doubles
    contact_cost: Doubles
    contacts: Doubles
    redemptions: Doubles

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: Array) -> Decisions:
        return Decisions(*(getattr(self, one.name)[rows] for one in fields(self)))


def is_draw(row: Mapping[str, str]) -> bool:
    """Whether an arm that is learnt was drawn at this decision and alone said what became of it.

    row: of schemas/decision.avsc. Of a message that waits that is the first decision, whose id is of the event and the campaign
    alone (models/ids.py): at the second only who was drawn to get it is left, and a purchase may have called it back, as from
    an arm that gets nothing nothing is called back.
    """
    if row["learned_version"] == "" or row["reason"] not in DRAWN:
        return False
    return row["decision_id"] == decision_id(row["event_id"], row["campaign"])


@dataclass(frozen=True)
class Assigned:
    """Shoppers of one comparison by their first decision, (N,) each, oldest first; those whose outcome is not told are out.

    group: name of the group chance gave; share: the chance of being held out, or of the arm. mixed: shoppers found in
    several groups, because a salt was changed; they are out. open: those whose window is not over, by group.
    """

    rows: Decisions
    group: Array
    share: Doubles
    mixed: int
    open: dict[str, int]
    counts: dict[str, int]
    expected: Doubles  # of all first decisions, told or not: the chance of being held out

    def __len__(self) -> int:
        return len(self.rows)


HELD, TREATED = "held out", "treated"


def by_holdout(decisions: Decisions) -> Assigned:
    """Shoppers by the hold-out. Empty when no decision was held out by it."""
    assigned = decisions[~np.isin(decisions.reason, NOT_ASSIGNED)]
    group = np.where(assigned.reason == "holdout", HELD, TREATED)
    return _first(assigned, group, _holdout_share(assigned))


def by_arm(decisions: Decisions, campaign: str) -> Assigned:
    """Shoppers by the arms of the campaign's experiment; a decision without one, or whose arm is learnt, counts for none."""
    drawn = np.isin(decisions.reason, DRAWN) & (decisions.arm != "") & (decisions.learned_version == "")
    rows = decisions[drawn & (decisions.campaign == campaign)]
    return _first(rows, rows.arm, rows.propensity)


def control_arm(assigned: Assigned) -> str | None:
    """The arm that gets nothing, else the first by name; None when there are not two."""
    names = sorted({str(name) for name in assigned.group})
    if len(names) < 2:
        return None
    nothing = {str(name) for name in assigned.group[assigned.rows.reason == "control"]}
    return min(nothing) if nothing else names[0]


def _holdout_share(rows: Decisions) -> Doubles:
    """Chance (N,) of being held out under each row's policy, which a policy's held-out decisions tell; NaN: none did."""
    held = rows.reason == "holdout"
    told: Mapping[str, float] = dict(
        zip(rows.policy[held].tolist(), rows.propensity[held].tolist(), strict=True)
    )
    return np.array([told.get(version, np.nan) for version in rows.policy.tolist()], np.float64)


def _first(rows: Decisions, group: Array, share: Doubles) -> Assigned:
    """Each shopper's first row; at one moment, the first campaign by name, since chance has no say in that."""
    order = np.lexsort((rows.campaign, rows.time, rows.user))
    rows, group, share = rows[order], group[order], share[order]
    begins = (
        np.flatnonzero(np.append(True, rows.user[1:] != rows.user[:-1])) if len(rows) else np.zeros(0, int)
    )
    shopper = np.cumsum(np.isin(np.arange(len(rows)), begins)) - 1
    several = np.zeros(len(begins), bool)
    several[shopper[group != group[begins][shopper]]] = True
    kept = begins[~several]
    kept = kept[np.argsort(rows.time[kept], kind="stable")]
    told = kept[rows.told[kept]]
    names, waiting = np.unique(group[kept[~rows.told[kept]]], return_counts=True)
    groups, counts = np.unique(group[kept], return_counts=True)
    return Assigned(
        rows[told],
        group[told],
        share[told],
        int(several.sum()),
        dict(zip(names.tolist(), waiting.tolist(), strict=True)),
        dict(zip(groups.tolist(), counts.tolist(), strict=True)),
        share[kept],
    )


@dataclass(frozen=True)
class Past:
    """What shoppers bought before, by shopper and time (P,): enough to sum up any stretch of anybody's."""

    user: Array
    time: npt.NDArray[np.int64]
    amount: Doubles

    def before(self, user: Array, time: npt.NDArray[np.int64], span: int) -> Doubles:
        """Purchases and spend (N, 2) in the `span` ms up to each (user, time); its own moment is not in it."""
        if not len(self.user):
            return np.zeros((len(user), 2))
        names, whose = np.unique(self.user, return_inverse=True)
        least = int(self.time.min())
        width = max(int(self.time.max()), int(np.max(time, initial=least))) - least + 2
        place = whose * width + (self.time - least)
        order = np.argsort(place, kind="stable")
        bought = np.column_stack([np.ones(len(order)), self.amount[order]])
        sums = np.vstack([np.zeros(2), np.cumsum(bought, axis=0)])
        at = np.minimum(np.searchsorted(names, user), len(names) - 1)
        known = names[at] == user
        first, last = (
            np.searchsorted(place[order], at * width + np.clip(moment - least, 0, width - 1))
            for moment in (time - span, time)
        )
        return np.asarray(np.where(known[:, None], sums[last] - sums[first], 0.0))
