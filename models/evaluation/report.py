"""The result of an evaluation: typed, as JSON for a release, as tables for a terminal, and as a page with its JSON."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from models.evaluation import tables
from models.evaluation.asked import NotAsked
from models.evaluation.judged import AmountComparison, Comparison, HitComparison, TypesComparison
from models.evaluation.leakage import Check
from models.replay.source import Interval, SourceProblem, iso

if TYPE_CHECKING:
    from models.explain.explained import Explained

PAGE, DATA = "report.html", "report.json"


@dataclass(frozen=True)
class Report:
    """fitted_on: what the baselines learnt from; scored: what was predicted; split: how the two are apart, in words.

    not_asked: questions without rows, or with only one outcome to learn from, each with a sentence that says so.
    epochs: of the training, as the release's card keeps them. leakage: what was checked, if it was.
    """

    fitted_on: Interval
    scored: Interval
    comparisons: tuple[Comparison, ...]
    amounts: tuple[AmountComparison, ...]
    next_category: HitComparison | None
    not_asked: tuple[NotAsked, ...] = ()
    split: str = ""
    of: str = "predictions"
    epochs: tuple[dict[str, Any], ...] = ()
    leakage: tuple[Check, ...] = ()
    notes: tuple[str, ...] = field(default=())
    next_type: TypesComparison | None = None
    explained: Explained | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, by question."""
        found: dict[str, Any] = {one.name: one.to_json() for one in self.comparisons}
        found |= {one.asked.name: one.to_json() for one in self.amounts}
        if self.next_category is not None:
            found["next_category"] = self.next_category.to_json()
        if self.next_type is not None:
            found["next_type"] = self.next_type.to_json()
        explained = {} if self.explained is None else {"explained": self.explained.to_json()}
        return explained | {
            "fitted_on": [iso(self.fitted_on.start), iso(self.fitted_on.stop)],
            "scored": [iso(self.scored.start), iso(self.scored.stop)],
            "split": self.split,
            "tasks": found,
            "not_asked": {one.name: one.why for one in self.not_asked},
            "leakage": [one.to_json() for one in self.leakage],
        }

    def comparison(self, name: str) -> Comparison:
        """The question of this name (buy_7d, lapse_30d, redeem …). Raises KeyError when it had no rows."""
        for one in self.comparisons:
            if one.name == name:
                return one
        raise KeyError(name)

    def tables(self, calibration_of: tuple[str, ...] = ("buy_7d",)) -> list[Table]:
        """For a terminal: the questions, amounts, categories; then a calibration table for each question named."""
        found = tables.questions(self.comparisons, self.not_asked)
        if self.amounts:
            found.append(tables.amounts(self.amounts))
        if self.next_category is not None:
            found.append(tables.names(self.next_category))
        if self.next_type is not None:
            found += [tables.types(self.next_type), tables.confusion(self.next_type)]
        found += [tables.calibration(one) for one in self.comparisons if one.name in calibration_of]
        if self.leakage:
            found.append(tables.leakage(self.leakage))
        return found

    @property
    def title(self) -> str:
        """What was judged, on what, and how apart."""
        about = f"; split {self.split}" if self.split else ""
        return f"{self.of}, scored on {short(self.scored)}, learnt from {short(self.fitted_on)}{about}"

    @property
    def how(self) -> str:
        """Where thresholds and intervals come from."""
        return tables.how(self.comparisons)

    def write(self, folder: Path) -> Path:
        """Writes PAGE and DATA into the folder, each complete or not at all; returns the page's path.

        SourceProblem when they cannot be written.
        """
        from models.evaluation.html import page

        data = {"of": self.of, **self.to_json(), "epochs": list(self.epochs), "notes": list(self.notes)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            put(folder / DATA, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False))
            put(folder / PAGE, page(self))
        except OSError as problem:
            raise SourceProblem(
                f"report in {folder}: cannot be written ({problem.strerror}): make room or name another folder with --report"
            ) from problem
        return folder / PAGE


def put(path: Path, text: str) -> None:
    """Under a temporary name first, so that a reader finds the old file or the new one, never half of it."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def short(interval: Interval) -> str:
    """An interval without the midnights."""
    return str(interval).replace("T00:00:00+00:00", "")
