"""Pieces of a report's page: its style, tables, notes, numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from models.evaluation.bootstrap import Range
from models.evaluation.judged import Difference
from models.evaluation.tables import figure

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
LESS_IS_BETTER = ("log_loss", "brier", "ece", "mse", "mae", "rmse")


def cell(value: float | None, interval: Range | None) -> str:
    small = f"<small>{interval.low:.3f}…{interval.high:.3f}</small>" if interval else ""
    return figure(value) + small


def lead(of: str, found: Difference | None) -> str:
    if found is None:
        return ""
    text = f"{found.value:+.4f}"
    if found.interval is None:
        return text
    low, high = found.interval
    better = (high < 0, low > 0) if of in LESS_IS_BETTER else (low > 0, high < 0)
    kind = "sure" if better[0] else "worse" if better[1] else ""
    return f'<span class="{kind}">{text}</span><small>{low:+.3f}…{high:+.3f}</small>'


def signed(interval: Range) -> str:
    kind = "sure" if interval.low > 0 else "worse" if interval.high < 0 else ""
    return f'<span class="{kind}">{interval.low:+.4f}…{interval.high:+.4f}</span>'


def row(first: str, cells: Iterable[str], kind: str = "") -> str:
    """first is text; cells are markup."""
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{kind}"><td>{escape(first)}</td>{inner}</tr>'


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
