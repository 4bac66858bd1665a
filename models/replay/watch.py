"""Looks at what the released model said live, and takes it back when it leaves the bounds in its card.

One look: the release in use, its predictions of the last `judged_days`, what then happened, the rule in rule.py. Taking back
promotes the release before and marks the broken one as withdrawn, in one write: a withdrawn release is never gone back to, so
two releases that are both bad do not take turns.
"""

from dataclasses import dataclass

from models import promotion
from models.promotion import Promotion
from models.release import ReleaseProblem
from models.replay.evidence import PREDICTIONS, Live, standing
from models.replay.matured import matured
from models.replay.paired import alone
from models.replay.rule import Bounds, Verdict
from schemas.settings import Settings


class NothingLeft(ReleaseProblem):
    """The release in use is out of its bounds, and there is none to go back to."""


@dataclass(frozen=True)
class Look:
    """What a look found. verdict: None where nothing could be judged; words: one line for the log."""

    release: str
    verdict: Verdict | None
    words: str

    @property
    def broken(self) -> bool:
        return self.verdict is not None and not self.verdict.good


def look(settings: Settings, topics: bool = False) -> Look:
    """At the release in use, by its predictions in the archive or, with `topics`, in what Kafka retains.

    ReleaseProblem when nothing is promoted or its folder is gone, SourceProblem when nothing can be read.
    """
    now = standing(settings)
    assert now.champion is not None
    release = now.champion.open()
    bounds = Bounds.from_json(release.card.metrics.get("bounds"))
    if bounds is None:
        return Look(
            release.id,
            None,
            f"{release.id} has no bounds in its card: it was released without an evaluation of at least judged_rows rows; "
            "nothing is watched until a release of `intentflow replay run` is promoted",
        )
    live = Live(settings, topics)
    said = live.said(PREDICTIONS, release.id)
    rows = None if said is None else matured(live.sequences, [said], bounds.task, live.over)
    if rows is None or not len(rows):
        return Look(release.id, None, f"{release.id}: no row of {bounds.task} has matured within {live.over}")
    verdict = bounds.kept(alone(rows), len(rows), settings)
    state = "keeps its bounds" if verdict.good else "is OUT OF ITS BOUNDS"
    state = state if verdict.enough else "cannot be judged yet"
    return Look(release.id, verdict, f"{release.id} {state}: {'; '.join(verdict.why)}")


def take_back(settings: Settings, found: Look) -> Promotion | None:
    """After a look that is broken: promotes the release before. None when another release is in use by now.

    NothingLeft when there is none, or it was withdrawn itself; nothing is written then.
    """
    assert found.verdict is not None
    why = "; ".join(line for line in found.verdict.why if line.startswith("FAILS"))
    try:
        return promotion.withdraw(settings, found.release, why)
    except ReleaseProblem as problem:
        raise NothingLeft(f"{found.words}; {problem}") from None
