"""Pictures of an effect report, as SVG texts drawn as those of an evaluation are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.asked import BASELINE, CONSTANT, MODEL
from models.evaluation.bootstrap import Range
from models.evaluation.plots import COLOURS, svg
from models.uplift.measures import Decile

if TYPE_CHECKING:
    from models.effect.judged import Comparison, Growing
    from models.effect.report import Spend

SURE, DOUBT = COLOURS[MODEL], COLOURS[BASELINE]


def forest(comparisons: Sequence[Comparison], name: str) -> str:
    """Margin per shopper, a line per comparison: thick the planned look, thin every look."""

    def draw(axes: Any) -> None:
        axes.axvline(0, color=COLOURS[CONSTANT], linewidth=0.9)
        for at, one in enumerate(reversed(comparisons)):
            found = one.figure("margin")
            for interval, width, alpha in ((found.anytime, 1.2, 0.6), (found.best.interval, 4.0, 0.9)):
                if interval is not None:
                    axes.plot(
                        interval, [at, at], color=SURE, linewidth=width, alpha=alpha, solid_capstyle="butt"
                    )
            axes.plot([found.best.value], [at], "o", color=SURE, markersize=5)
        axes.set(
            yticks=range(len(comparisons)),
            xlabel="extra margin per shopper",
            ylim=(-0.6, len(comparisons) - 0.4),
        )
        axes.set_yticklabels([_short(one.title) for one in reversed(comparisons)], fontsize=7)
        axes.set_title("What each brought")
        axes.figure.subplots_adjust(left=0.36)

    return svg(draw, f"{name}-forest", "Extra margin per shopper", legend=False)


def growing(found: Growing, name: str) -> str:
    """How the difference settled while shoppers came in, with what was to be said at one look and at every look."""

    def draw(axes: Any) -> None:
        axes.axhline(0, color=COLOURS[CONSTANT], linewidth=0.9)
        shoppers = np.array(found.shoppers)
        for ranges, alpha, label in (
            (found.anytime, 0.18, "at every look"),
            (found.single, 0.35, "at one look"),
        ):
            known = [at for at, one in enumerate(ranges) if one is not None]
            some: list[Range] = [one for one in ranges if one is not None]
            axes.fill_between(
                shoppers[known],
                [one.low for one in some],
                [one.high for one in some],
                color=SURE,
                alpha=alpha,
                lw=0,
                label=label,
            )
        axes.plot(shoppers, found.value, color=SURE, linewidth=1.6, label="extra margin")
        last = [one for one in found.anytime if one is not None]
        if last:
            middle = last[len(last) // 2]
            reach = max(abs(middle.low), abs(middle.high), abs(found.value[-1]))
            axes.set_ylim(-1.3 * reach, 1.3 * reach)
        axes.set(xscale="log", xlabel="shoppers so far", ylabel="per shopper", title="How it settled")
        places = [one * 10**power for power in range(2, 9) for one in (1, 3)]
        shown = [int(shoppers[0]), *(place for place in places if 1.5 * shoppers[0] <= place <= shoppers[-1])]
        axes.set_xticks(shown, [f"{place:,}" for place in shown])
        axes.minorticks_off()

    return svg(draw, f"{name}-growing", "Difference while shoppers came in")


def deciles(found: Sequence[Decile], name: str) -> str:
    """Extra margin among shoppers of whom little and of whom much was expected."""

    def draw(axes: Any) -> None:
        axes.axhline(0, color=COLOURS[CONSTANT], linewidth=0.9)
        places = np.arange(1, len(found) + 1)
        reach = [1.96 * one.error for one in found]
        axes.errorbar(
            places, [one.observed for one in found], reach, fmt="o", color=SURE, capsize=2, label="came"
        )
        axes.plot(
            places, [one.predicted for one in found], color=DOUBT, linewidth=1.4, label="expected of acting"
        )
        axes.set(
            xlabel="shoppers, least expected first",
            ylabel="extra margin per shopper",
            title="Who it works for",
        )

    return svg(draw, f"{name}-deciles", "Extra margin by what was expected")


def spend(found: Mapping[str, Spend], name: str) -> str:
    """Money spent by campaign, and the budget as a mark."""

    def draw(axes: Any) -> None:
        shown = list(found.items())[::-1]
        for at, (_, one) in enumerate(shown):
            axes.barh(at, one.redeemed, color=SURE, label="coupons" if at == 0 else None)
            axes.barh(at, one.messages, left=one.redeemed, color=DOUBT, label="messages" if at == 0 else None)
            axes.plot([one.expected], [at], "|", color=COLOURS[CONSTANT], markersize=12)
            if one.budget is not None:
                axes.plot(
                    [one.budget, one.budget], [at - 0.4, at + 0.4], color=COLOURS[CONSTANT], linewidth=2
                )
        axes.set(yticks=range(len(shown)), xlabel="money; short mark: expected, long: budget", title="Spent")
        axes.set_yticklabels([_short(title) for title, _ in shown], fontsize=7)
        axes.figure.subplots_adjust(left=0.36)

    return svg(draw, f"{name}-spend", "Spend by campaign")


def _short(title: str) -> str:
    return title if len(title) <= 24 else f"{title[:23]}…"
