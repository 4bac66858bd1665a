"""A report's tables for a terminal. What does not fit there stands in the page."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from models.evaluation.asked import MODEL, TITLES, NotAsked
from models.evaluation.bootstrap import Range
from models.evaluation.judged import (
    AmountComparison,
    Comparison,
    Difference,
    HitComparison,
    Predictor,
    TypesComparison,
)
from models.evaluation.leakage import Check

COLUMNS = {
    "AUC, 95 %": 19,
    "AP": 7,
    "log loss": 8,
    "Brier, 95 %": 19,
    "ECE": 7,
    "yes from": 8,
    "accuracy": 8,
    "precision": 9,
    "recall": 7,
    "F1": 7,
}
_STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "collapse_padding": True, "pad_edge": False}
TYPES = {"accuracy": "accuracy", "log_loss": "log loss", "auc": "macro AUC", "average_precision": "macro AP"}
HITS = {"any": "hit@k", "share": "share", "recall": "R@k", "mrr": "MRR@k", "ndcg": "NDCG@k"}


def questions(comparisons: Sequence[Comparison], not_asked: Sequence[NotAsked]) -> list[Table]:
    """A table per yes/no question: a line per predictor, then the model's lead over each other one."""
    found = [_question(one) for one in comparisons]
    if not_asked:
        table = Table("not asked", "why", **_STYLE)
        for left in not_asked:
            table.add_row(left.title, left.why)
        found.append(table)
    return found


def _question(one: Comparison) -> Table:
    left_out = f"; {one.without_prediction:,} more without prediction" if one.without_prediction else ""
    title = f"[bold]{one.title}[/], {one.model.rows:,} rows of {one.shoppers:,} shoppers, {one.model.base_rate:.1%} yes"
    table = Table(title=title + left_out, title_justify="left", title_style="", **_STYLE)
    table.add_column("", min_width=32)
    for name, width in COLUMNS.items():
        table.add_column(name, justify="right", min_width=width)
    for name, predictor in one.predictors.items():
        table.add_row(one.asked.called(name), *_cells(predictor), style="bold" if name == MODEL else "")
    for to, found in one.differences.items():
        table.add_row(f"[italic]model − {one.asked.called(to)}[/]", *_lead(found), style="cyan")
    if one.note:
        table.add_row(f"[yellow]{one.note}[/]")
    return table


def amounts(found: Sequence[AmountComparison]) -> Table:
    """Amounts: errors of each predictor with intervals."""
    table = Table(title="Amounts", title_justify="left", **_STYLE)
    for name in ("question, predictor", "MAE, 95 %", "RMSE, 95 %", "MSE"):
        table.add_column(name, justify="left" if name.startswith("question") else "right")
    for one in found:
        table.add_row(
            f"[bold]{one.asked.title}[/]\n[dim]{len(one.asked.came):,} rows, in {one.asked.unit}[/]"
        )
        for name, errors in one.predictors.items():
            ranges = one.intervals[name]
            cells = (with_range(errors.mae, ranges.get("mae")), with_range(errors.rmse, ranges.get("rmse")))
            table.add_row(f"  {TITLES[name]}", *cells, figure(errors.mse))
        for to, leads in one.differences.items():
            table.add_row(
                f"  [italic]model − {TITLES[to]}[/]", *(lead(leads.get(of)) for of in ("mae", "rmse", "mse"))
            )
        table.add_section()
    return table


def names(one: HitComparison) -> Table:
    """Named categories."""
    table = Table(title=one.asked.title, title_justify="left", **_STYLE)
    table.add_column(f"{one.model.rows:,} rows, k = {one.model.k}")
    for title in HITS.values():
        table.add_column(f"{title}, 95 %", justify="right")
    for name, found in one.predictors.items():
        cells = (with_range(getattr(found, of), one.intervals[name].get(of)) for of in HITS)
        table.add_row(one.asked.called(name), *cells, style="bold" if name == MODEL else "")
    for to, leads in one.differences.items():
        table.add_row(f"[italic]model − {one.asked.called(to)}[/]", *(lead(leads.get(of)) for of in HITS))
    return table


def types(one: TypesComparison) -> Table:
    """One of several types."""
    table = Table(title=one.asked.title, title_justify="left", **_STYLE)
    table.add_column(f"{len(one.asked.came):,} rows, {len(one.asked.types)} types")
    for title in TYPES.values():
        table.add_column(f"{title}, 95 %", justify="right")
    for name, found in one.predictors.items():
        cells = (with_range(getattr(found, of), one.intervals[name].get(of)) for of in TYPES)
        table.add_row(TITLES[name], *cells, style="bold" if name == MODEL else "")
    for to, leads in one.differences.items():
        table.add_row(f"[italic]model − {TITLES[to]}[/]", *(lead(leads.get(of)) for of in TYPES))
    return table


def confusion(one: TypesComparison) -> Table:
    """Rows by the type that came, then by the one that the model held likeliest."""
    table = Table("came \\ said", title=f"Confusion: {one.asked.title}", title_justify="left", **_STYLE)
    kinds, counts = one.confusion()
    for kind in kinds:
        table.add_column(kind, justify="right")
    for kind, row in zip(kinds, counts, strict=True):
        table.add_row(kind, *(f"{count:,}" for count in row))
    return table


def calibration(one: Comparison) -> Table:
    """How often what the model says comes true, by score."""
    table = Table(title=f"Calibration: {one.title}", title_justify="left", **_STYLE)
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


def leakage(checks: Sequence[Check]) -> Table:
    """What was checked, and that it held."""
    table = Table(title="Leakage checks", title_justify="left", **_STYLE)
    for name in ("check", "found", "allowed"):
        table.add_column(name, justify="left" if name == "check" else "right")
    for one in checks:
        table.add_row(one.title, one.found, one.allowed)
    return table


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def with_range(value: float | None, interval: Range | None) -> str:
    """A figure, and its interval where it has one."""
    return figure(value) + (f" [dim]{interval.low:.3f}…{interval.high:.3f}[/]" if interval else "")


def lead(found: Difference | None) -> str:
    """A difference with its sign and its interval."""
    if found is None:
        return ""
    return f"{found.value:+.4f}" + (
        f" [dim]{found.interval.low:+.3f}…{found.interval.high:+.3f}[/]" if found.interval else ""
    )


def _cells(one: Predictor) -> list[str]:
    values, ranges = one.figures, one.intervals
    thresholds = {round(threshold.value, 3) for threshold in one.thresholds}
    said = (
        f"{min(thresholds):.3f}" if len(thresholds) == 1 else f"{min(thresholds):.2f}…{max(thresholds):.2f}"
    )
    return [
        with_range(values["auc"], ranges.get("auc")),
        *(figure(values[name]) for name in ("average_precision", "log_loss")),
        with_range(values["brier"], ranges.get("brier")),
        figure(values["ece"]),
        said,
        *(figure(values[name]) for name in ("accuracy", "precision", "recall", "f1")),
    ]


def _lead(found: dict[str, Difference]) -> list[str]:
    plain = {name: f"{one.value:+.4f}" for name, one in found.items()}
    return [
        lead(found.get("auc")),
        *(plain.get(name, "") for name in ("average_precision", "log_loss")),
        lead(found.get("brier")),
        plain.get("ece", ""),
        "",
        *(plain.get(name, "") for name in ("accuracy", "precision", "recall", "f1")),
    ]


def how(comparisons: Sequence[Comparison]) -> str:
    """Where thresholds and intervals come from."""
    if not comparisons:
        return ""
    rules = sorted({threshold.rule for one in comparisons for threshold in one.predictors[MODEL].thresholds})
    ranked = min(one.ranked for one in comparisons)
    return (
        f"yes from: {', '.join(rules)}. 95 % intervals from {comparisons[0].resamples:,} resamples of shoppers, "
        f"of AUC and AP from {ranked:,} or more; differences are paired."
    )
