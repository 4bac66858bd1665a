"""The part of a report's page that says what a score rests on, in pictures and in words."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from models.evaluation import markup, plots

if TYPE_CHECKING:
    from models.explain.explained import Explained


def section(found: Explained, drawn: bool) -> str:
    """Permutation importance, TreeSHAP of the aggregates, and one shopper's events with what each did to the score."""
    inputs = {one.name: one.worse for one in found.inputs}
    columns = {one.name: one.worse for one in found.columns}
    parts = [
        f"<h2>What {escape(found.task)} rests on</h2>",
        f'<p class="dim">Of the release at {found.moments:,} moments; LightGBM stands for what aggregates say. An input that '
        "another one repeats looks unimportant when shuffled alone.</p>",
    ]
    if drawn:
        pictures = [plots.bars(inputs, "permutation", "Release: inputs shuffled", "log loss rises by")]
        if found.trees:
            pictures.append(plots.bars(found.trees, "shap", "LightGBM: TreeSHAP", "mean |log-odds|"))
            pictures.append(plots.bars(columns, "columns", "LightGBM: columns shuffled", "log loss rises by"))
        parts.append(f'<div class="plots">{"".join(pictures)}</div>')
    else:
        rows = [markup.row(name, [f"{value:+.5f}"]) for name, value in inputs.items()]
        parts.append(markup.table(("input shuffled", "log loss rises by"), rows))
    return f'<section id="explained">{"".join(parts)}{_shopper(found, drawn)}</section>'


def _shopper(found: Explained, drawn: bool) -> str:
    if found.attribution is None:
        return ""
    moved = found.attribution.events
    names = [f"{at}  {kind}" for at, kind in zip(range(-len(found.events) + 1, 1), found.events, strict=True)]
    parts = [
        "<h3>One shopper</h3>",
        f'<p class="dim">{escape(found.task)} is {found.attribution.score:.3f} after the last {len(names)} events of the '
        f"shopper with the most; without them it would be {found.attribution.baseline:.3f}. What each moved it by, by "
        "integrated gradients; 0 is the newest event.</p>",
    ]
    if drawn:
        newest = dict(reversed(list(zip(names, moved.tolist(), strict=True))))
        pictures = [plots.bars(newest, "events", "Events, newest first", "moves the score by", len(names))]
        for layer, shares in enumerate([] if found.attention is None else found.attention, 1):
            pictures.append(plots.heat(shares, names, f"attention-{layer}", f"Attention, layer {layer}"))
        parts.append(f'<div class="plots">{"".join(pictures)}</div>')
    return "".join(parts)
