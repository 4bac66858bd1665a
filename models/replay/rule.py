"""Two rules, stated here and in docs/releases.md: when a challenger may take the champion's place, and when a release is
taken back. Both are judged on matured rows of one task, `judged_task`.

Promote, if all of this holds on the rows that both releases answered:
1. there are at least `judged_rows` of them;
2. the challenger's log loss is lower, and the upper end of the paired 95 % interval of the difference is at most
   `promote_tolerance`: it is better, and it is not likely to be worse by more than would be noticed;
3. its odds, observed over expected, are within a factor `promote_calibration` of 1, or at least as near as the champion's.

Take back, if on at least `judged_rows` rows that the release answered live one of these holds:
1. the whole 95 % interval of its AUC lies below its bound, the AUC of its evaluation less 3 standard errors less
   `rollback_auc_margin`;
2. the whole 95 % interval of its odds, observed over expected, lies outside its bounds: a factor `rollback_calibration`,
   either way, away from 1 or from its evaluation's, whichever is farther.

The bounds of a release are in its card, from the day it was evaluated. The whole interval, because a look is taken often and
a release is not to be lost by chance.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from models.replay.matured import Matured
from models.replay.paired import Judged, Paired, alone
from schemas.settings import Settings

STANDARD_ERRORS = 3.0
_IN_95 = 2 * 1.959964  # standard errors in a 95 % interval


class Verdict(NamedTuple):
    """good: whether the rule is met. enough: whether there were rows enough to say so. why: a line each."""

    good: bool
    enough: bool
    why: tuple[str, ...]


def promotable(found: Paired, settings: Settings) -> Verdict:
    """Whether the challenger may take the champion's place."""
    loss, odds = found.difference.log_loss, found.challenger.odds.value
    enough = found.rows >= settings.judged_rows
    farther = _apart(odds) > max(
        math.log(settings.promote_calibration), _apart(found.champion.odds.value) + 1e-12
    )
    checks = [
        (enough, f"{found.rows:,} matured rows of {found.task}, at least {settings.judged_rows:,} wanted"),
        (loss.value < 0, f"log loss differs by {loss.value:+.5f}, less than 0 wanted"),
        (
            loss.high <= settings.promote_tolerance,
            f"95 % interval of that: {loss.low:+.5f} … {loss.high:+.5f}, at most {settings.promote_tolerance:+g} wanted",
        ),
        (
            not farther,
            f"odds observed over expected {odds:.3f} (in use: {found.champion.odds.value:.3f}), wanted within a factor of "
            f"{settings.promote_calibration:g} of 1 or as near as in use",
        ),
    ]
    return Verdict(all(met for met, _ in checks), enough, _lines(checks))


@dataclass(frozen=True)
class Bounds:
    """What a release must keep to live; in its card as metrics["bounds"]."""

    task: str
    rows: int  # of the evaluation that they come from
    auc_at_least: float
    odds_at_least: float
    odds_at_most: float

    @classmethod
    def of(cls, rows: Matured, settings: Settings) -> Self | None:
        """From the rows of its evaluation; None when these are too few or have one outcome alone."""
        if len(rows) < settings.judged_rows or rows.came.all() or not rows.came.any():
            return None
        found, factor = alone(rows), settings.rollback_calibration
        error = (found.auc.high - found.auc.low) / _IN_95
        least = found.auc.value - STANDARD_ERRORS * error - settings.rollback_auc_margin
        low, high = min(1.0, found.odds.value) / factor, max(1.0, found.odds.value) * factor
        return cls(rows.task, len(rows), least, low, high)

    @classmethod
    def from_json(cls, found: Any) -> Self | None:
        """As `to_json` gave it; None for None."""
        return None if found is None else cls(**found)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def kept(self, found: Judged, rows: int, settings: Settings) -> Verdict:
        """Whether a release keeps to them, as found live on so many rows."""
        enough = rows >= settings.judged_rows
        auc, odds = found.auc, found.odds
        checks = [
            (enough, f"{rows:,} matured rows of {self.task}, at least {settings.judged_rows:,} wanted"),
            (not auc.high < self.auc_at_least, f"AUC {auc}, at least {self.auc_at_least:.4f} wanted"),
            (
                not (odds.high < self.odds_at_least or odds.low > self.odds_at_most),
                f"odds observed over expected {odds}, {self.odds_at_least:.3f} … {self.odds_at_most:.3f} wanted",
            ),
        ]
        return Verdict(not enough or all(met for met, _ in checks), enough, _lines(checks))


def _apart(odds: float) -> float:
    return abs(math.log(odds))


def _lines(checks: list[tuple[bool, str]]) -> tuple[str, ...]:
    return tuple(f"{'holds' if met else 'FAILS'}: {text}" for met, text in checks)
