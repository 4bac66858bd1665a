"""The result of an evaluation: typed, as JSON for a release, and as tables for a terminal."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from models.metrics import Binary, Hits
from models.replay.source import Interval, iso


@dataclass(frozen=True)
class Comparison:
    """One yes/no question: the model's figures, the baseline's on the same rows, and how many rows had no prediction."""

    name: str
    title: str
    model: Binary
    baseline: Binary
    without_prediction: int

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "model": self.model.to_json(),
            "baseline": self.baseline.to_json(),
            "without_prediction": self.without_prediction,
        }


@dataclass(frozen=True)
class HitComparison:
    """Next categories: what was named, held against the next basket."""

    model: Hits
    baseline: Hits
    without_prediction: int

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model.to_json(),
            "baseline": self.baseline.to_json(),
            "without_prediction": self.without_prediction,
        }


@dataclass(frozen=True)
class Report:
    """fitted_on: what the baselines learnt from; scored: what was predicted.

    A question without rows, or with only one outcome to learn from, is left out.
    """

    fitted_on: Interval
    scored: Interval
    comparisons: tuple[Comparison, ...]
    next_category: HitComparison | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, by question."""
        found: dict[str, Any] = {one.name: one.to_json() for one in self.comparisons}
        if self.next_category is not None:
            found["next_category"] = self.next_category.to_json()
        return {
            "fitted_on": [iso(self.fitted_on.start), iso(self.fitted_on.stop)],
            "scored": [iso(self.scored.start), iso(self.scored.stop)],
            "tasks": found,
        }

    def comparison(self, name: str) -> Comparison:
        """The question of this name (buy_7d, lapse_30d, redeem …). Raises KeyError when it had no rows."""
        for one in self.comparisons:
            if one.name == name:
                return one
        raise KeyError(name)

    def tables(self, calibration_of: tuple[str, ...] = ("buy_7d",)) -> list[Table]:
        """The comparison, then a calibration table for each question named."""
        tables = [self._overview()]
        tables += [_calibration(one) for one in self.comparisons if one.name in calibration_of]
        return tables

    def _overview(self) -> Table:
        table = Table(
            title=f"Predictions of {self.scored}, against recency and frequency", title_justify="left"
        )
        table.add_column("question")
        for name in ("rows", "happened", "AUC", "baseline", "AP", "baseline", "Brier", "baseline"):
            table.add_column(name, justify="right")
        for one in self.comparisons:
            model, usual = one.model, one.baseline
            table.add_row(
                one.title,
                f"{model.rows:,}",
                f"{model.base_rate:.1%}",
                _figure(model.auc),
                _figure(usual.auc),
                _figure(model.average_precision),
                _figure(usual.average_precision),
                _figure(model.brier),
                _figure(usual.brier),
            )
        if self.next_category is not None:
            hit, usual_hit = self.next_category.model, self.next_category.baseline
            table.add_section()
            table.add_row("", "rows", "", "hit@5", "baseline", "share", "baseline", "", "", style="bold")
            table.add_row(
                "next basket: a category of the five named",
                f"{hit.rows:,}",
                "",
                _figure(hit.any),
                _figure(usual_hit.any),
                _figure(hit.share),
                _figure(usual_hit.share),
            )
        return table


def _calibration(one: Comparison) -> Table:
    table = Table(title=f"Calibration: {one.title}", title_justify="left")
    for name in ("score", "rows", "predicted", "happened"):
        table.add_column(name, justify="right")
    for part in one.model.calibration:
        table.add_row(
            f"{part.low:.1f}–{part.high:.1f}",
            f"{part.rows:,}",
            f"{part.predicted:.3f}",
            f"{part.observed:.3f}",
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
