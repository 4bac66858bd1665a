"""Pictures as SVG texts for a page: ROC, precision and recall, calibration, gain, confusion, learning curves.

Drawn by matplotlib's svg backend, without pyplot. Texts and axes take the page's colour (currentColor), so that light and
dark pages both can show them; the lines' colours stand out on either.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.asked import BASELINE, BOOSTING, CONSTANT, MODEL, TITLES
from models.metrics import BINS, Bin, Decided

Array = npt.NDArray[Any]

COLOURS = {MODEL: "#2f7ed8", BASELINE: "#e07b39", BOOSTING: "#3a9d5d", CONSTANT: "#8a8a8a"}
POINTS = 200  # of a curve; more cannot be seen
SIZE = (4.2, 3.4)  # inches


def available() -> bool:
    """Whether matplotlib is installed (extra `learn`)."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def roc(labels: Array, scores: Mapping[str, Array], name: str) -> str:
    """True positive rate over false positive rate, a curve per predictor."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS[CONSTANT], linewidth=0.8, linestyle=":")
        for predictor, said in scores.items():
            true, false = _ranked(labels, said)
            _line(axes, predictor, false / max(false[-1], 1), true / max(true[-1], 1))
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")

    return svg(draw, f"{name}-roc", "ROC curves")


def precision_recall(labels: Array, scores: Mapping[str, Array], name: str) -> str:
    """Precision over recall."""

    def draw(axes: Any) -> None:
        for predictor, said in scores.items():
            true, false = (counts[1:] for counts in _ranked(labels, said))
            _line(axes, predictor, true / max(true[-1], 1), true / (true + false))
        axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.03))

    return svg(draw, f"{name}-pr", "Precision over recall")


def gain(labels: Array, scores: Mapping[str, Array], name: str) -> str:
    """Cumulative gain: which share of the yes is among the share of rows with the highest scores; lift is its slope."""

    def draw(axes: Any) -> None:
        for predictor, said in scores.items():
            true, false = _ranked(labels, said)
            _line(axes, predictor, (true + false) / len(labels), true / max(true[-1], 1))
        axes.set(xlabel="share of rows, highest scores first", ylabel="share of the yes found", title="Gain")

    return svg(draw, f"{name}-gain", "Cumulative gain")


def calibration(bins: Mapping[str, Sequence[Bin]], name: str) -> str:
    """Observed share over predicted probability; a point's size is its number of rows."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS[CONSTANT], linewidth=0.8, linestyle=":")
        for predictor, found in bins.items():
            rows = np.array([one.rows for one in found])
            said, came = ([getattr(one, what) for one in found] for what in ("predicted", "observed"))
            _line(axes, predictor, np.array(said), np.array(came))
            axes.scatter(said, came, 90 * rows / rows.sum() + 4, color=COLOURS[predictor], linewidths=0)
        axes.set(xlabel=f"predicted, {BINS} bins", ylabel="happened", title="Calibration")

    return svg(draw, f"{name}-calibration", "Calibration")


def confusion(found: Decided, threshold: str, name: str) -> str:
    """Counts of what was said against what came, shaded by their share of the row."""

    def draw(axes: Any) -> None:
        cells = np.array(
            [
                [found.true_negative, found.false_positive],
                [found.false_negative, found.true_positive],
            ]
        )
        shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
        for (came, said), count in np.ndenumerate(cells):
            shade = float(shares[came, said])
            axes.fill_between(
                [said, said + 1], came, came + 1, color=COLOURS[MODEL], alpha=0.08 + 0.5 * shade, lw=0
            )
            axes.text(said + 0.5, came + 0.5, f"{count:,}\n{shade:.0%}", ha="center", va="center")
        axes.set(xticks=(0.5, 1.5), yticks=(0.5, 1.5), xlim=(0, 2), ylim=(2, 0), xlabel="said", ylabel="came")
        axes.set_xticklabels(("no", "yes"))
        axes.set_yticklabels(("no", "yes"))
        axes.set_title(f"Confusion, yes from {threshold}")
        axes.grid(visible=False)

    return svg(draw, f"{name}-confusion", "Confusion matrix", legend=False)


def scores(labels: Array, said: Array, name: str) -> str:
    """How the model's scores are spread, among those that came true and the others."""

    def draw(axes: Any) -> None:
        edges = np.linspace(0, 1, 2 * BINS + 1)
        for came, title, colour in ((~labels, "no", COLOURS[CONSTANT]), (labels, "yes", COLOURS[MODEL])):
            counts = np.histogram(said[came], edges)[0]
            axes.fill_between(
                edges, np.append(counts, counts[-1]), step="post", alpha=0.45, color=colour, lw=0, label=title
            )
        axes.set(xlabel="score", ylabel="rows", title="Scores by what came")

    return svg(draw, f"{name}-scores", "Histogram of scores")


def learning(epochs: Sequence[Mapping[str, Any]]) -> str:
    """Losses by epoch, of the shoppers learnt from and of those held out."""

    def draw(axes: Any) -> None:
        numbers = [one["number"] for one in epochs]
        for column, title, colour in (
            ("train_loss", "learnt from", COLOURS[BASELINE]),
            ("held_out_loss", "held out", COLOURS[MODEL]),
        ):
            values = [one[column] for one in epochs]
            axes.plot(numbers, values, color=colour, marker="o", markersize=3, linewidth=1.4, label=title)
        axes.set(xlabel="epoch", ylabel="loss", title="Learning curves")

    return svg(draw, "learning", "Learning curves")


def bars(values: Mapping[str, float], name: str, title: str, label: str, most: int = 15) -> str:
    """A bar per name, the first on top; at most `most` of them."""

    def draw(axes: Any) -> None:
        shown = list(values.items())[:most][::-1]
        colours = [COLOURS[MODEL] if value >= 0 else COLOURS[BASELINE] for _, value in shown]
        axes.barh(range(len(shown)), [value for _, value in shown], color=colours)
        axes.set(yticks=range(len(shown)), xlabel=label, title=title)
        axes.set_yticklabels([text for text, _ in shown], fontsize=7 if len(shown) <= 15 else 6)
        axes.figure.subplots_adjust(left=0.42)

    return svg(draw, name, title, legend=False)


def heat(shares: Array, names: Sequence[str], name: str, title: str) -> str:
    """Shares (T, T), darker where more; row t is what event t looks at."""

    def draw(axes: Any) -> None:
        for at, row in enumerate(shares):
            for seen in np.flatnonzero(row > 0.005):
                axes.fill_between(
                    [seen, seen + 1], at, at + 1, color=COLOURS[MODEL], alpha=float(row[seen]), lw=0
                )
        size = len(names)
        axes.set(xlim=(0, size), ylim=(size, 0), xlabel="event looked at, oldest first", title=title)
        axes.set(yticks=np.arange(size) + 0.5)
        axes.set_yticklabels(names, fontsize=5)
        axes.figure.subplots_adjust(left=0.28)
        axes.grid(visible=False)

    return svg(draw, name, title, legend=False)


def _ranked(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Counts of yes and of no among the highest scores, from none to all; rows of equal score come together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    true = np.append(0, np.cumsum(labels[order])[ends]).astype(float)
    return true, np.append(0, ends + 1) - true


def _line(axes: Any, predictor: str, x: Array, y: Array) -> None:
    kept = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
    width = 1.8 if predictor == MODEL else 1.1
    axes.plot(x[kept], y[kept], color=COLOURS[predictor], linewidth=width, label=TITLES[predictor])


def svg(draw: Callable[[Any], None], name: str, title: str, legend: bool = True) -> str:
    """The drawing as an <svg> element whose ids begin with `name`, so that many can stand in one page."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "intentflow",
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
    }
    with mpl.rc_context(settings), io.StringIO() as file:
        figure = Figure(figsize=SIZE)
        figure.subplots_adjust(
            left=0.15, right=0.97, bottom=0.14, top=0.91
        )  # a tight layout draws everything twice
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.grid(color=COLOURS[CONSTANT], alpha=0.25, linewidth=0.5)
        draw(axes)
        if legend:
            axes.legend(frameon=False, fontsize=8)
        figure.savefig(
            file,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
        text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 {_ROLE} aria-label="{title}">', text, count=1
    )
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    return re.sub(r"(fill|stroke): ?#000000", r"\1: currentColor", text)


_ROLE = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
