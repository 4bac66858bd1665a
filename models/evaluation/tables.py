"""A report's tables for a terminal. What does not fit there stands in the page."""

from collections.abc import Sequence

from rich.table import Table

from models.evaluation.asked import MODEL, TITLES, NotAsked
from models.evaluation.bootstrap import Range
from models.evaluation.judged import AmountComparison, Comparison, Difference, HitComparison, Predictor
from models.evaluation.leakage import Check

HITS = {"any": "hit@k", "share": "share", "recall": "R@k", "mrr": "MRR@k", "ndcg": "NDCG@k"}


def questions(title: str, comparisons: Sequence[Comparison], not_asked: Sequence[NotAsked]) -> Table:
    """Every yes/no question: a line per predictor, then the model's lead over each other one."""
    table = Table(title=title, title_justify="left", caption=_caption(comparisons), caption_justify="left")
    table.add_column("question, predictor")
    names = (
        "AUC, 95 %",
        "AP",
        "log loss",
        "Brier, 95 %",
        "ECE",
        "yes from",
        "accuracy",
        "precision",
        "recall",
        "F1",
    )
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for one in comparisons:
        rows = f"{one.model.rows:,} rows of {one.shoppers:,} shoppers, {one.model.base_rate:.1%} yes"
        left_out = f", {one.without_prediction:,} more without prediction" if one.without_prediction else ""
        table.add_row(f"[bold]{one.title}[/]\n[dim]{rows}{left_out}[/]")
        for name, predictor in one.predictors.items():
            table.add_row(f"  {TITLES[name]}", *_cells(predictor))
        for to, found in one.differences.items():
            table.add_row(
                f"  [italic]model − {TITLES[to]}[/]", *_lead(found), style="cyan" if to == "baseline" else ""
            )
        if one.note:
            table.add_row(f"  [yellow]{one.note}[/]")
        table.add_section()
    for left in not_asked:
        table.add_row(f"[bold]{left.title}[/]\n[yellow]not asked: {left.why}[/]")
    return table


def amounts(found: Sequence[AmountComparison]) -> Table:
    """Amounts: errors of each predictor with intervals."""
    table = Table(title="Amounts", title_justify="left")
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
    table = Table(title=one.asked.title, title_justify="left")
    table.add_column(f"{one.model.rows:,} rows, k = {one.model.k}")
    for title in HITS.values():
        table.add_column(f"{title}, 95 %", justify="right")
    for name, found in one.predictors.items():
        cells = (with_range(getattr(found, of), one.intervals[name].get(of)) for of in HITS)
        table.add_row("popular" if name == "constant" else _usual(name), *cells)
    for to, leads in one.differences.items():
        title = "popular" if to == "constant" else _usual(to)
        table.add_row(f"[italic]model − {title}[/]", *(lead(leads.get(of)) for of in HITS))
    return table


def calibration(one: Comparison) -> Table:
    """How often what the model says comes true, by score."""
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


def leakage(checks: Sequence[Check]) -> Table:
    """What was checked, and that it held."""
    table = Table(title="Leakage checks", title_justify="left")
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


def _usual(name: str) -> str:
    return "the shopper's most frequent" if name == "baseline" else TITLES[name]


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


def _caption(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    rules = sorted({one.predictors[MODEL].thresholds[0].rule for one in comparisons})
    ranked = min(one.ranked for one in comparisons)
    return (
        f"yes from: {', '.join(rules)}. Intervals: {comparisons[0].resamples:,} resamples of shoppers "
        f"({ranked:,} for AUC and AP at least)."
    )
