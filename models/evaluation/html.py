"""The report as one page: no scripts, nothing fetched, readable on a phone and in the dark. Well-formed XML, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from models.evaluation import explained_html, markup, plots
from models.evaluation.asked import CONSTANT, MODEL, TITLES
from models.evaluation.bootstrap import RANKED_LEAST
from models.evaluation.judged import (
    FIGURES,
    AmountComparison,
    Comparison,
    HitComparison,
    TypesComparison,
)
from models.evaluation.slices import Slice
from models.evaluation.tables import HITS, TYPES, figure

if TYPE_CHECKING:
    from models.evaluation.report import Report

PROBABILITIES, DECISIONS = FIGURES[:5], FIGURES[5:]


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
        explained_html.section(report.explained, drawn) if report.explained else "",
        _learning(report, drawn),
        _leakage(report),
        _method(report),
    ]
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>{escape(title)}</title>'
        f"<style>{markup.STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
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
    return f'<p class="dim">{escape(" ".join(filter(None, lines)))}</p>' + "".join(map(markup.note, notes))


def _contents(report: Report) -> str:
    links = {one.name: one.name for one in report.comparisons}
    links |= {"amounts": "amounts"} if report.amounts else {}
    links |= {"next-category": "next category"} if report.next_category else {}
    links |= {"next-type": "next type"} if report.next_type else {}
    links |= {"explained": "explained"} if report.explained else {}
    links |= {"learning": "learning"} if report.epochs else {}
    links |= {"leakage": "leakage", "method": "how to read this"}
    return "<nav>" + " ".join(f'<a href="#{to}">{escape(text)}</a>' for to, text in links.items()) + "</nav>"


def _question(one: Comparison, drawn: bool) -> str:
    left_out = f"; {one.without_prediction:,} more had no prediction" if one.without_prediction else ""
    rows = f"{one.model.rows:,} rows of {one.shoppers:,} shoppers, {one.model.base_rate:.1%} yes{left_out}."
    parts = [
        f"<h2>{escape(one.title)}</h2>",
        f'<p class="dim">{rows}</p>',
        markup.note(one.note) if one.note else "",
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
        cells = [
            f"{one.model.rows:,}",
            markup.cell(one.model.auc, one.predictors[MODEL].intervals.get("auc")),
        ]
        cells += [markup.lead("auc", one.differences.get(name, {}).get("auc")) for name in others]
        cells += [
            markup.lead("brier", one.differences.get(name, {}).get("brier"))
            for name in others
            if name != CONSTANT
        ]
        rows.append(markup.row(one.title, cells))
    heads = ["", "rows", "AUC", *(f"AUC − {TITLES[name]}" for name in others)]
    heads += [f"Brier − {TITLES[name]}" for name in others if name != CONSTANT]
    return f'<section id="glance"><h2>At a glance</h2>{markup.table(heads, rows)}</section>'


def _predictors(one: Comparison) -> str:
    """Probabilities, then decisions."""
    rows = []
    for name, found in one.predictors.items():
        cells = [markup.cell(found.figures[of], found.intervals.get(of)) for of in PROBABILITIES]
        rows.append(markup.row(one.asked.called(name), cells, "model" if name == MODEL else ""))
    rows += _leads(one, PROBABILITIES)
    first = markup.table(("probabilities", *(markup.HEADS.get(of, of) for of in PROBABILITIES)), rows)
    rows = []
    for name, found in one.predictors.items():
        values = sorted({round(threshold.value, 3) for threshold in found.thresholds})
        said = f"{values[0]:.3f}" if len(values) == 1 else f"{values[0]:.3f}…{values[-1]:.3f}"
        cells = [said, *(markup.cell(found.figures[of], found.intervals.get(of)) for of in DECISIONS)]
        rows.append(markup.row(one.asked.called(name), cells, "model" if name == MODEL else ""))
    rows += _leads(one, DECISIONS, [""])
    rules = {threshold.rule for found in one.predictors.values() for threshold in found.thresholds}
    about = f'<p class="dim">Yes from: {escape("; ".join(sorted(rules)))}.</p>'
    return (
        first
        + about
        + markup.table(("decisions", "yes from", *(markup.HEADS.get(of, of) for of in DECISIONS)), rows)
    )


def _leads(one: Comparison, figures: tuple[str, ...], before: list[str] | None = None) -> list[str]:
    return [
        markup.row(
            f"model − {one.asked.called(to)}",
            [*(before or []), *(markup.lead(of, found.get(of)) for of in figures)],
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
        markup.row(name, [figure(found.ece), figure(found.brier), figure(found.log_loss)])
        for name, found in one.versions.items()
    ]
    table = markup.table(("scores", "ECE", "Brier", "log loss"), rows)
    return f"<h3>Calibration before and after</h3>{table}"


def _folds(one: Comparison) -> str:
    if not one.folds:
        return ""
    rows = [
        markup.row(f"fold {number}", [f"{fold.rows:,}", figure(fold.auc), figure(fold.brier)])
        for number, fold in enumerate(one.folds, 1)
    ]
    return f"<h3>Folds</h3>{markup.table(('', 'rows', 'AUC', 'Brier'), rows)}"


def _slices(slices: Sequence[Slice]) -> str:
    if not slices:
        return ""
    rows = [
        markup.row(
            f"{one.of}: {one.value}",
            [
                f"{one.model.rows:,}",
                f"{one.model.base_rate:.1%}",
                markup.cell(one.model.auc, one.auc) if one.told else "too few",
                figure(one.baseline.auc) if one.told else "",
                markup.signed(one.lead) if one.lead else "",
                figure(one.model.brier),
                figure(one.baseline.brier),
                figure(one.model.ece),
            ],
        )
        for one in slices
    ]
    heads = ("slice", "rows", "yes", "AUC", "baseline", "AUC lead, 95 %", "Brier", "baseline", "ECE")
    return f"<details><summary>By slice ({len(slices)})</summary>{markup.table(heads, rows)}</details>"


def _not_asked(report: Report) -> str:
    if not report.not_asked:
        return ""
    found = "".join(markup.note(f"{one.title}: {one.why}.") for one in report.not_asked)
    return f'<section id="not-asked"><h2>Not asked</h2>{found}</section>'


def _amounts(found: Sequence[AmountComparison]) -> str:
    if not found:
        return ""
    rows, names = [], ("mae", "rmse", "mse")
    for one in found:
        rows.append(
            markup.row(f"{one.asked.title} ({len(one.asked.came):,} rows, in {one.asked.unit})", [""] * 3)
        )
        rows += _beside(one, names, TITLES.__getitem__)
    return f'<section id="amounts"><h2>Amounts</h2>{markup.table(("", "MAE", "RMSE", "MSE"), rows)}</section>'


def _beside(
    one: AmountComparison | HitComparison | TypesComparison,
    figures: Iterable[str],
    called: Callable[[str], str],
) -> list[str]:
    """A row per predictor with its figures, then one per predictor that the model stands against."""
    figures = tuple(figures)
    rows = [
        markup.row(
            called(name),
            [markup.cell(getattr(found, of), one.intervals[name].get(of)) for of in figures],
            "model" if name == MODEL else "",
        )
        for name, found in one.predictors.items()
    ]
    leads = [
        markup.row(f"model − {called(to)}", [markup.lead(of, found.get(of)) for of in figures], "lead")
        for to, found in one.differences.items()
    ]
    return rows + leads


def _names(one: HitComparison | None) -> str:
    if one is None:
        return ""
    rows = _beside(one, HITS, one.asked.called)
    heads = ("", *HITS.values())
    about = f'<p class="dim">{one.model.rows:,} rows, k = {one.model.k}.</p>'
    return f'<section id="next-category"><h2>{escape(one.asked.title)}</h2>{about}{markup.table(heads, rows)}</section>'


def _types(one: TypesComparison | None) -> str:
    if one is None:
        return ""
    rows = _beside(one, TYPES, TITLES.__getitem__)
    kinds, counts = one.confusion()
    confusion = [
        markup.row(kind, [f"{count:,}" for count in row]) for kind, row in zip(kinds, counts, strict=True)
    ]
    left_out = f"; {one.asked.without_prediction:,} more had no prediction" * bool(
        one.asked.without_prediction
    )
    about = f"{len(one.asked.came):,} rows{left_out}. Macro: each type against the others, means over the types that came."
    return (
        f'<section id="next-type"><h2>{escape(one.asked.title)}</h2><p class="dim">{about}</p>'
        f"{markup.table(('', *TYPES.values()), rows)}<h3>Confusion: what came, by the type held likeliest</h3>"
        f"{markup.table(('came / said', *kinds), confusion)}</section>"
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
        rows = [markup.row(one.title, [escape(one.found), escape(one.allowed)]) for one in report.leakage]
        body = markup.table(("check", "found", "allowed"), rows)
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
