"""Complete Journey: the demo's questions, sequence model against recency and frequency and LightGBM on aggregates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import report
from bench.models import logs
from bench.models.row import Row
from models import engine
from models.evaluation.judged import Difference
from models.evaluation.report import Report
from models.replay.evaluate import evaluate
from models.replay.predicted import offline
from models.replay.redemption import Redemption, mailings
from models.replay.source import Interval

FAST_SHARE = 0.1
CALLED = {
    "model": "LSTM 2×64",
    "baseline": "recency, frequency",
    "boosting": "LightGBM on aggregates",
    "constant": "constant",
}


def measure(given: Mapping[str, Any]) -> Row:
    """Learns from before `train_until` and is judged on what came from then on."""
    log = logs.read("completejourney")
    if report.fast():
        log = log.share(FAST_SHARE, 0)
    learnt = Interval.between(given["from"], given["train_until"])
    scored = Interval.between(given["train_until"], given["to"])
    made = logs.recipe(given["network"], report.fast())
    with logs.trained(log, made, learnt.stop, given["seed"]) as drafted:
        served = engine.load(drafted.uri, "onnx", "cpu")
    predicted = offline(log, served, made.features, learnt.start)
    redemption = Redemption.fit(mailings(log).within(learnt.start, learnt.stop), predicted)
    return _row(given, evaluate(log, predicted, learnt, scored, redemption))


def _row(given: Mapping[str, Any], found: Report) -> Row:
    row = Row()
    for one in found.comparisons:
        for name, predictor in one.predictors.items():
            figures = predictor.figures
            row.ours.setdefault(CALLED[name], {}).update(
                {f"{one.name} {figure}": float(figures[figure] or 0.0) for figure in ("auc", "brier")}
            )
        _ahead(row, given, one.name, one.differences, "auc")
    if found.next_category is not None:
        for name, hits in found.next_category.predictors.items():
            row.ours.setdefault(CALLED[name], {})["next category hit@5"] = hits.any
        _ahead(row, given, "next_category", found.next_category.differences, "any")
    row.notes += [f"{one.name}: {one.why}" for one in found.not_asked]
    return row


def _ahead(
    row: Row, given: Mapping[str, Any], name: str, leads: Mapping[str, Mapping[str, Difference]], figure: str
) -> None:
    """The model's lead over every other predictor, with its interval over households."""
    for other, differences in leads.items():
        lead = differences.get(figure)
        if lead is None:
            continue
        within = f" [{lead.interval.low:+.4f}, {lead.interval.high:+.4f}]" if lead.interval else ""
        row.notes.append(f"{name}: {figure} of the model minus {CALLED[other]}'s {lead.value:+.4f}{within}")
        bar = f"{name}: {figure} ahead of {CALLED[other]}"
        if bar in given["bars"]:
            row.want(given, bar, lead.value)
