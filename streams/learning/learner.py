"""Outcomes into what is known of each campaign's arms. No Kafka here; `agent.py` feeds it.

Every decision is learnt once, by the first outcome after its window was over; what comes late, or is told before the window
is over, is counted and left. Rewards are margin after coupons and contacts, as the effect report counts it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from models.effect.margin import net
from streams.learning.context import columns, context
from streams.learning.policies import Policies
from streams.learning.state import Learnt, arms, offer
from streams.local_time import known_zone
from streams.policy import Campaign

Row = Mapping[str, Any]
MONEY = ("revenue", "returned", "margin", "coupon_cost", "contact_cost")
# More than a shopper spends within a window, in any currency. A price of 1e200 has no finite square, and far less than that
# drowns what all others said in the noise; events are refused for prices that are no numbers only.
MOST = 1e9
# ms without a decision by the scores that are learnt by, until others are: for some time after a change of release decisions by
# both come, of pauses begun before it and of workers that are late, and each of the old ones would end what the new ones began.
QUIET = 24 * 3_600_000
log = logging.getLogger(__name__)


class Learner:
    """counts: outcomes by what became of them, 'learnt' or why not. states: by campaign, of the policy that is followed."""

    def __init__(self, policies: Policies, states: Iterable[Learnt] = ()) -> None:
        self._policies = policies
        self.states = {state.campaign: state for state in states}
        self.counts: Counter[str] = Counter()
        self._changed: set[str] = set()

    def learn(self, rows: Iterable[Row]) -> None:
        """Take rows of schemas/outcome.avsc, in the order of the log."""
        of: dict[str, list[Row]] = {}
        for row in rows:
            why = _unfit(row)
            if why:
                self.counts[why] += 1
            else:
                of.setdefault(row["campaign"], []).append(row)
        learning = self._policies.learning()
        for name, some in of.items():
            if name in learning:
                self._learn(learning[name], some)
            else:
                self.counts["not_learning"] += len(some)

    def changed(self) -> list[Learnt]:
        """What is other than when it was asked last."""
        found = [self.states[name] for name in sorted(self._changed)]
        self._changed.clear()
        return found

    def _learn(self, campaign: Campaign, rows: list[Row]) -> None:
        assert campaign.experiment is not None
        mine, wanted, names = [], offer(campaign), arms(campaign.experiment)
        for row in rows:
            found = self._policies.offered(row["policy_version"], campaign.id)
            if found == wanted and row["arm"] in names:
                mine.append(row)
            else:
                self.counts["unknown_policy" if found is None else "other_arms"] += 1
        # By columns: while releases change, outcomes of both come.
        start = 0
        for at in range(1, len(mine) + 1):
            if at == len(mine) or mine[at]["scores"].keys() != mine[start]["scores"].keys():
                self._learn_alike(campaign, mine[start:at])
                start = at

    def _learn_alike(self, campaign: Campaign, rows: list[Row]) -> None:
        state, rows = self._state(campaign, rows)
        if not rows:
            return
        state.bandit.learn(
            np.array([context(row["scores"], row["event_time"], row["time_zone"]) for row in rows]),
            np.array([state.bandit.actions.index(row["arm"]) for row in rows]),
            rewards(rows, state.margin_share),
            np.array([row["propensity"] for row in rows]),
        )
        newest = max(state.latest, *(row["event_time"] for row in rows))
        self.states[campaign.id] = replace(state, latest=newest)
        self._changed.add(campaign.id)
        self.counts["learnt"] += len(rows)

    def _state(self, campaign: Campaign, rows: list[Row]) -> tuple[Learnt, list[Row]]:
        """What these outcomes, all by the same scores, add to, and those that do. It is begun anew when the arms or the
        reward are others, and by the first decision by other scores that is `QUIET` newer than all that was learnt."""
        state, new = self.states.get(campaign.id), Learnt.begun(campaign, columns(rows[0]["scores"]))
        if state is None:
            return new, rows
        if (state.offer, state.margin_share) != (new.offer, new.margin_share):
            why = "its arms, attribution_hours or margin_share are others now"
        elif state.columns == new.columns:
            return state, rows
        else:
            why = "the release has other scores now"
            over = (at for at, row in enumerate(rows) if row["event_time"] > state.latest + QUIET)
            first = next(over, len(rows))
            self.counts["other_scores"] += first
            rows = rows[first:]
            if not rows:
                return state, rows
        log.warning("%s is learnt anew, %d outcomes are forgotten: %s", campaign.id, state.rounds, why)
        return new, rows


def rewards(rows: list[Row], margin_share: float) -> Any:
    """Of outcomes (N,), money."""

    def told(name: str) -> Any:
        return np.array([row[name] for row in rows], np.float64)  # None becomes NaN

    costs = told("coupon_cost"), told("contact_cost")
    return net(told("revenue"), told("returned"), told("margin"), *costs, margin_share)


def _unfit(row: Row) -> str:
    """Why nothing can be learnt from it, whatever is learnt; '' when something can."""
    if not row["scores"]:
        return "nothing_drawn"
    if not row["complete"]:
        return "open"
    if not (0 < row["propensity"] <= 1 and all(0 <= score <= 1 for score in row["scores"].values())):
        return "broken"  # no decision of ours
    if not known_zone(row["time_zone"]):
        return "broken"
    if not all(row[name] is None or abs(row[name]) <= MOST for name in MONEY):
        return "broken"  # NaN too
    return "" if row["first_complete"] else "revised"
