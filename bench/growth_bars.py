"""What `make bench-growth` holds: the cost of an event stays flat as things grow, and memory within its bound."""

from __future__ import annotations

import argparse
from typing import Any

from bench import report

FLAT = 1.5  # cost at the large end over cost at the small end
HELD_ROWS = 32_768  # of shoppers in memory in the row of shoppers
COLD = 10  # times as many shoppers: nine of ten events and more are of somebody who is not in memory


def bars(figures: dict[str, Any], options: argparse.Namespace) -> list[report.Bar]:
    """Cost at the large end over cost at the small end of each row there is, and memory against its bound everywhere."""
    cold = [f"{count:,}" for count in options.shoppers if count > COLD * HELD_ROWS]
    memory = [
        point["memory_peak_mib"] / point["memory_bound_mib"]
        for group in figures.values()
        for point in group.values()
        if "memory_peak_mib" in point
    ]
    ends = {
        "shoppers": (cold[0], cold[-1], f"{cold[-1]} shoppers over {cold[0]}"),
        "same_shoppers": ("first_third", "last_third", "last events of the same shoppers over first"),
        **{
            name: (str(points[0]), str(points[-1]), f"{points[-1]} {name} over {points[0]}")
            for name, points in (("partitions", options.partitions), ("workers", options.workers))
        },
    }
    found = [
        report.at_most(
            f"CPU per event, {what}",
            figures[group][large]["cpu_us_per_event"] / figures[group][small]["cpu_us_per_event"],
            FLAT,
        )
        for group, (small, large, what) in ends.items()
        if group in figures
    ]
    if memory:
        found.append(report.at_most("memory over its bound, worst of all", max(memory), 1.0))
    return found
