"""The report as one page: no scripts, nothing fetched, readable on a phone and in the dark. Well-formed XML, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from models.evaluation import plots
from models.evaluation.asked import CONSTANT, MODEL, TITLES
from models.evaluation.bootstrap import RANKED_LEAST, Range
from models.evaluation.judged import (
    FIGURES,
    AmountComparison,
    Comparison,
    Difference,
    HitComparison,
    TypesComparison,
)
from models.evaluation.slices import Slice
from models.evaluation.tables import HITS, TYPES, figure

if TYPE_CHECKING:
    from models.evaluation.report import Report

HEADS = {
    "auc": "AUC",
    "average_precision": "AP",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "f1": "F1",
}
STYLE = """
:root { color-scheme: light dark; --soft: #8883; --dim: light-dark(#666, #9a9a9a); --accent: #2f7ed8; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; } h3 { font-size: 1rem; }
p.dim, .dim { color: var(--dim); } .note { border-left: 3px solid #e0a030; padding-left: .6rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; font-size: .86rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--soft); white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 8rem; position: sticky; left: 0;
  background: Canvas; }
td small { display: block; color: var(--dim); font-size: .75rem; } tr.model td { font-weight: 600; }
tr.model td small { font-weight: 400; } tr.lead td:first-child { font-style: italic; }
.sure { color: #2a9d4e; } .worse { color: #d9534f; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: .6rem; }
.plots svg { width: 100%; height: auto; } svg text { fill: currentColor; }
summary { cursor: pointer; margin: .5rem 0; } nav a { margin-right: 1rem; } a { color: var(--accent); }
"""
PROBABILITIES, DECISIONS = FIGURES[:5], FIGURES[5:]
LESS_IS_BETTER = ("log_loss", "brier", "ece", "mse", "mae", "rmse")


def page(report: Report) -> str:
    """The whole page."""
    title = f"Evaluation of {report.of}"
    drawn = plots.available()
    parts = [
        f"<h1>{escape(title)}</h1>",
        _about(report, drawn),
        _contents(report),
        _glance(report.comparisons),
        *(_question(one, drawn) for one in report.comparisons),
        _not_asked(report),
        _amounts(report.amounts),
        _names(report.next_category),
        _types(report.next_type),
        _learning(report, drawn),
        _leakage(report),
        _method(report),
    ]
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _about(report: Report, drawn: bool) -> str:
    from models.evaluation.report import short

    lines = [
        f"Scored on {short(report.scored)}; learnt from {short(report.fitted_on)}.",
        f"Split {report.split}." if report.split else "",
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by intentflow replay.",
    ]
    notes = [*report.notes]
    if not drawn:
        notes.append("No plots: matplotlib is not installed here (pip install 'intentflow[learn]').")
    return f'<p class="dim">{escape(" ".join(filter(None, lines)))}</p>' + "".join(map(_note, notes))


def _contents(report: Report) -> str:
    links = {one.name: one.name for one in report.comparisons}
    links |= {"amounts": "amounts"} if report.amounts else {}
    links |= {"next-category": "next category"} if report.next_category else {}
    links |= {"next-type": "next type"} if report.next_type else {}
    links |= {"learning": "learning"} if report.epochs else {}
    links |= {"leakage": "leakage", "method": "how to read this"}
    return "<nav>" + " ".join(f'<a href="#{to}">{escape(text)}</a>' for to, text in links.items()) + "</nav>"


def _question(one: Comparison, drawn: bool) -> str:
    left_out = f"; {one.without_prediction:,} more had no prediction" if one.without_prediction else ""
    rows = f"{one.model.rows:,} rows of {one.shoppers:,} shoppers, {one.model.base_rate:.1%} yes{left_out}."
    parts = [
        f"<h2>{escape(one.title)}</h2>",
        f'<p class="dim">{rows}</p>',
        _note(one.note) if one.note else "",
        _predictors(one),
        _pictures(one) if drawn else "",
        _calibrations(one),
        _folds(one),
        _slices(one.slices),
    ]
    return f'<section id="{escape(one.name)}">{"".join(parts)}</section>'


def _glance(comparisons: Sequence[Comparison]) -> str:
    """A line per question: is the model ahead?"""
    if not comparisons:
        return ""
    others = [name for name in TITLES if any(name in one.differences for one in comparisons)]
    rows = []
    for one in comparisons:
        cells = [f"{one.model.rows:,}", _cell(one.model.auc, one.predictors[MODEL].intervals.get("auc"))]
        cells += [_lead("auc", one.differences.get(name, {}).get("auc")) for name in others]
        cells += [
            _lead("brier", one.differences.get(name, {}).get("brier")) for name in others if name != CONSTANT
        ]
        rows.append(_row(one.title, cells))
    heads = ["", "rows", "AUC", *(f"AUC − {TITLES[name]}" for name in others)]
    heads += [f"Brier − {TITLES[name]}" for name in others if name != CONSTANT]
    return f'<section id="glance"><h2>At a glance</h2>{_table(heads, rows)}</section>'


def _predictors(one: Comparison) -> str:
    """Probabilities, then decisions."""
    rows = []
    for name, found in one.predictors.items():
        cells = [_cell(found.figures[of], found.intervals.get(of)) for of in PROBABILITIES]
        rows.append(_row(one.asked.called(name), cells, "model" if name == MODEL else ""))
    rows += _leads(one, PROBABILITIES)
    first = _table(("probabilities", *(HEADS.get(of, of) for of in PROBABILITIES)), rows)
    rows = []
    for name, found in one.predictors.items():
        values = sorted({round(threshold.value, 3) for threshold in found.thresholds})
        said = f"{values[0]:.3f}" if len(values) == 1 else f"{values[0]:.3f}…{values[-1]:.3f}"
        cells = [said, *(_cell(found.figures[of], found.intervals.get(of)) for of in DECISIONS)]
        rows.append(_row(one.asked.called(name), cells, "model" if name == MODEL else ""))
    rows += _leads(one, DECISIONS, [""])
    rules = {threshold.rule for found in one.predictors.values() for threshold in found.thresholds}
    about = f'<p class="dim">Yes from: {escape("; ".join(sorted(rules)))}.</p>'
    return first + about + _table(("decisions", "yes from", *(HEADS.get(of, of) for of in DECISIONS)), rows)


def _leads(one: Comparison, figures: tuple[str, ...], before: list[str] | None = None) -> list[str]:
    return [
        _row(
            f"model − {one.asked.called(to)}",
            [*(before or []), *(_lead(of, found.get(of)) for of in figures)],
            "lead",
        )
        for to, found in one.differences.items()
    ]


def _pictures(one: Comparison) -> str:
    labels, scores = one.asked.labels, one.asked.scores
    thresholds = one.predictors[MODEL].thresholds
    said = f"{thresholds[0].value:.3f}" if len(thresholds) == 1 else "each fold's"
    found = [plots.confusion(one.predictors[MODEL].decided, said, one.name)]
    bins = {name: predictor.quality.calibration for name, predictor in one.predictors.items()}
    found = [plots.calibration(bins, one.name), *found, plots.scores(labels, scores[MODEL], one.name)]
    if one.model.auc is not None:
        curves = (plots.roc, plots.precision_recall, plots.gain)
        found = [*(draw(labels, scores, one.name) for draw in curves), *found]
    return f'<div class="plots">{"".join(found)}</div>'


def _calibrations(one: Comparison) -> str:
    if not one.versions:
        return ""
    rows = [
        _row(name, [figure(found.ece), figure(found.brier), figure(found.log_loss)])
        for name, found in one.versions.items()
    ]
    table = _table(("scores", "ECE", "Brier", "log loss"), rows)
    return f"<h3>Calibration before and after</h3>{table}"


def _folds(one: Comparison) -> str:
    if not one.folds:
        return ""
    rows = [
        _row(f"fold {number}", [f"{fold.rows:,}", figure(fold.auc), figure(fold.brier)])
        for number, fold in enumerate(one.folds, 1)
    ]
    return f"<h3>Folds</h3>{_table(('', 'rows', 'AUC', 'Brier'), rows)}"


def _slices(slices: Sequence[Slice]) -> str:
    if not slices:
        return ""
    rows = [
        _row(
            f"{one.of}: {one.value}",
            [
                f"{one.model.rows:,}",
                f"{one.model.base_rate:.1%}",
                _cell(one.model.auc, one.auc) if one.told else "too few",
                figure(one.baseline.auc) if one.told else "",
                _signed(one.lead) if one.lead else "",
                figure(one.model.brier),
                figure(one.baseline.brier),
                figure(one.model.ece),
            ],
        )
        for one in slices
    ]
    heads = ("slice", "rows", "yes", "AUC", "baseline", "AUC lead, 95 %", "Brier", "baseline", "ECE")
    return f"<details><summary>By slice ({len(slices)})</summary>{_table(heads, rows)}</details>"


def _not_asked(report: Report) -> str:
    if not report.not_asked:
        return ""
    found = "".join(_note(f"{one.title}: {one.why}.") for one in report.not_asked)
    return f'<section id="not-asked"><h2>Not asked</h2>{found}</section>'


def _amounts(found: Sequence[AmountComparison]) -> str:
    if not found:
        return ""
    rows, names = [], ("mae", "rmse", "mse")
    for one in found:
        rows.append(_row(f"{one.asked.title} ({len(one.asked.came):,} rows, in {one.asked.unit})", [""] * 3))
        for name, errors in one.predictors.items():
            ranges = one.intervals[name]
            cells = [_cell(getattr(errors, of), ranges.get(of)) for of in names]
            rows.append(_row(TITLES[name], cells, "model" if name == MODEL else ""))
        for to, leads in one.differences.items():
            rows.append(_row(f"model − {TITLES[to]}", [_lead(of, leads.get(of)) for of in names], "lead"))
    return f'<section id="amounts"><h2>Amounts</h2>{_table(("", "MAE", "RMSE", "MSE"), rows)}</section>'


def _names(one: HitComparison | None) -> str:
    if one is None:
        return ""
    rows = [
        _row(
            one.asked.called(name),
            [_cell(getattr(found, of), one.intervals[name].get(of)) for of in HITS],
            "model" if name == MODEL else "",
        )
        for name, found in one.predictors.items()
    ]
    rows += [
        _row(f"model − {one.asked.called(to)}", [_lead(of, leads.get(of)) for of in HITS], "lead")
        for to, leads in one.differences.items()
    ]
    heads = ("", *HITS.values())
    about = f'<p class="dim">{one.model.rows:,} rows, k = {one.model.k}.</p>'
    return f'<section id="next-category"><h2>{escape(one.asked.title)}</h2>{about}{_table(heads, rows)}</section>'


def _types(one: TypesComparison | None) -> str:
    if one is None:
        return ""
    rows = [
        _row(
            TITLES[name],
            [_cell(getattr(found, of), one.intervals[name].get(of)) for of in TYPES],
            "model" if name == MODEL else "",
        )
        for name, found in one.predictors.items()
    ]
    rows += [
        _row(f"model − {TITLES[to]}", [_lead(of, leads.get(of)) for of in TYPES], "lead")
        for to, leads in one.differences.items()
    ]
    cells = zip(one.asked.types, one.predictors[MODEL].confusion, strict=True)
    confusion = [_row(kind, [f"{count:,}" for count in counts]) for kind, counts in cells]
    left_out = f"; {one.asked.without_prediction:,} more had no prediction" * bool(
        one.asked.without_prediction
    )
    about = f"{len(one.asked.came):,} rows{left_out}. Macro: each type against the others, means over the types that came."
    return (
        f'<section id="next-type"><h2>{escape(one.asked.title)}</h2><p class="dim">{about}</p>'
        f"{_table(('', *TYPES.values()), rows)}<h3>Confusion: what came, by the type held likeliest</h3>"
        f"{_table(('came / said', *one.asked.types), confusion)}</section>"
    )


def _learning(report: Report, drawn: bool) -> str:
    if not report.epochs:
        return ""
    best = min(report.epochs, key=lambda one: one["held_out_loss"])
    about = f"{len(report.epochs)} epochs; epoch {best['number']} did best on held-out shoppers and is what was kept."
    picture = f'<div class="plots">{plots.learning(report.epochs)}</div>' if drawn else ""
    return f'<section id="learning"><h2>Learning</h2><p class="dim">{about}</p>{picture}</section>'


def _leakage(report: Report) -> str:
    if not report.leakage:
        body = '<p class="dim">Not checked in this run: add --check-leakage.</p>'
    else:
        rows = [_row(one.title, [escape(one.found), escape(one.allowed)]) for one in report.leakage]
        body = _table(("check", "found", "allowed"), rows)
    return f'<section id="leakage"><h2>Leakage checks</h2>{body}</section>'


def _method(report: Report) -> str:
    ranked = min((one.ranked for one in report.comparisons), default=RANKED_LEAST)
    count = max((one.resamples for one in report.comparisons), default=0)
    lines = (
        f"Small figures are 95 % intervals from {count:,} resamples of shoppers (AUC and AP from {ranked:,} at least, "
        f"slices from {RANKED_LEAST}), since rows of a shopper are not independent. All predictors share the resamples, "
        "so differences are paired: green where the model leads and the interval leaves 0 out, red where it trails so.",
        "A row is asked only when its time was over before the data ended; what is not known yet counts for nothing.",
        "Thresholds, temperature and isotonic regression were fitted on what lies before, or beside, the scored rows; "
        "the network has seen the rows of its training interval, so that what is fitted there may be too sure.",
        "ECE: expected calibration error over ten bins of equal width. Gain: its slope is the lift.",
    )
    return f'<section id="method"><h2>How to read this</h2>{"".join(f"<p>{escape(line)}</p>" for line in lines)}</section>'


def _cell(value: float | None, interval: Range | None) -> str:
    small = f"<small>{interval.low:.3f}…{interval.high:.3f}</small>" if interval else ""
    return figure(value) + small


def _lead(of: str, found: Difference | None) -> str:
    if found is None:
        return ""
    text = f"{found.value:+.4f}"
    if found.interval is None:
        return text
    low, high = found.interval
    better = (high < 0, low > 0) if of in LESS_IS_BETTER else (low > 0, high < 0)
    kind = "sure" if better[0] else "worse" if better[1] else ""
    return f'<span class="{kind}">{text}</span><small>{low:+.3f}…{high:+.3f}</small>'


def _signed(interval: Range) -> str:
    kind = "sure" if interval.low > 0 else "worse" if interval.high < 0 else ""
    return f'<span class="{kind}">{interval.low:+.4f}…{interval.high:+.4f}</span>'


def _row(first: str, cells: Iterable[str], kind: str = "") -> str:
    """first is text; cells are markup."""
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{kind}"><td>{escape(first)}</td>{inner}</tr>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
