"""For `intentflow why`: which events and which features drove a shopper's score, from the release that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models import promotion
from models.release import ReleaseProblem
from models.replay.source import SourceProblem
from schemas.settings import Settings
from streams.cli import story

if TYPE_CHECKING:
    from models.featurizer import FeatureSpec
    from models.network import IntentNetwork

Row = dict[str, Any]

EVENTS = 200  # looked at, the latest ones
SHOWN = 4
APART = 0.02  # of the published score, from which on it is said


class Drivers:
    """Explains scores; keeps the network of the last release."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[str, FeatureSpec, IntentNetwork] | None = None

    def tell(self, release: str, task: str, history: Sequence[Row], published: float | None) -> str:
        """What moved the score `task` after the last event of `history`, which is in the order of the log."""
        try:
            return self._tell(release, task, history, published)
        except (ReleaseProblem, SourceProblem, ValueError) as problem:
            return f"  because    not known: {problem}"
        except ImportError as problem:
            return f"  because    not known: {problem.name} is not installed"

    def _tell(self, release: str, task: str, history: Sequence[Row], published: float | None) -> str:
        from models.explain import words
        from models.explain.gradients import attribute
        from models.explain.shopper import features_of

        spec, network = self._load(release)
        ids, features = features_of(history, spec, self._settings)
        found = attribute(network, features, task)
        lines = {row["event_id"]: story.event_words(row) for row in history}
        head = f"  because    {task} {found.score:.3f} from the latest {len(ids)} events, blank ones give {found.baseline:.3f}"
        if published is not None and abs(published - found.score) > APART:
            head += f" (published {published:.3f}, from earlier events, too)"
        told = [head]
        told += [f"             {line}" for line in words.inputs(found, features, SHOWN)]
        told += [f"    event    {line}" for line in words.events(found, [lines[one] for one in ids], SHOWN)]
        return "\n".join(told)

    def _load(self, release: str) -> tuple[FeatureSpec, IntentNetwork]:
        if self._loaded is None or self._loaded[0] != release:
            from models.explain.gradients import network_of

            found = promotion.find(self._settings, release)
            self._loaded = (release, found.card.features, network_of(found))
        return self._loaded[1:]
