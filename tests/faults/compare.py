"""The comparison: what a disturbed run committed against what it should have, record by record.

Pure functions on decoded records, so that a test can show that they find a lost, a doubled and a differing one.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WALL_CLOCK = {"scored_at", "decided_at", "emitted_at", "failed_at"}
SCORES_WITHIN = 1e-4  # batches of another size differ in the last bits of a float
HIDDEN_WITHIN = 1e-5
SPOKEN_WITHIN = 0.0101  # numbers in sentences have two digits, and may be rounded to either side
SHOWN = 3
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Row = dict[str, Any]


@dataclass
class Findings:
    """What is wrong, in words; empty when all is well. `compared` counts records by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    compared: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.differing)

    def add(self, other: Findings) -> None:
        self.lost += other.lost
        self.doubled += other.doubled
        self.differing += other.differing
        self.compared += other.compared

    def __str__(self) -> str:
        lines = []
        for name in ("lost", "doubled", "differing"):
            found = getattr(self, name)
            lines.append(f"{name} {len(found)}")
            lines += [f"  {line}" for line in found[:SHOWN]]
        return "\n".join(lines)


def records(
    kind: str,
    found: Iterable[Row],
    wanted: Iterable[Row],
    name: Callable[[Row], Any],
    ignored: set[str] = WALL_CLOCK,
) -> Findings:
    """Each wanted record is there once, with the same content; nothing else is there. `name` identifies a record."""
    findings = Findings()
    by_name: dict[Any, list[Row]] = collections.defaultdict(list)
    for row in found:
        by_name[name(row)].append(row)
    for row in wanted:
        same_name = by_name.pop(name(row), [])
        findings.compared[kind] += 1
        if not same_name:
            findings.lost.append(f"{kind} {name(row)}")
            continue
        if len(same_name) > 1:
            findings.doubled.append(f"{kind} {name(row)}: {len(same_name)} times")
        for one in same_name:
            unlike = [key for key in row if key not in ignored and not alike(one.get(key), row[key])]
            if unlike:
                was, want = ({key: side.get(key) for key in unlike} for side in (one, row))
                findings.differing.append(f"{kind} {name(row)}: is {was}, want {want}")
    findings.doubled += [f"{kind} {extra}: nobody asked for it" for extra in by_name]
    return findings


def once(kind: str, found: Iterable[str], wanted: Iterable[str]) -> Findings:
    """Each wanted name is there exactly once, and nothing else."""
    findings, counts = Findings(), collections.Counter(found)
    for one in wanted:
        findings.compared[kind] += 1
        count = counts.pop(one, 0)
        if count == 0:
            findings.lost.append(f"{kind} {one}")
        elif count > 1:
            findings.doubled.append(f"{kind} {one}: {count} times")
    findings.doubled += [f"{kind} {extra}: nobody asked for it" for extra in counts]
    return findings


def rows(kind: str, found: Mapping[bytes, np.void], wanted: Mapping[bytes, np.void]) -> Findings:
    """Sequence rows by shopper: ring, ids and counters bit-equal, the hidden state within 1e-5."""
    findings = Findings()
    findings.lost += [f"{kind} of {user!r}" for user in wanted.keys() - found.keys()]
    findings.doubled += [f"{kind} of {user!r}: nobody asked for it" for user in found.keys() - wanted.keys()]
    for user in wanted.keys() & found.keys():
        findings.compared[kind] += 1
        is_, want = found[user], wanted[user]
        unlike = [name for name in ("meta", "ids", "ring") if is_[name].tobytes() != want[name].tobytes()]
        off = float(np.abs(is_["hidden"].astype(np.float64) - want["hidden"].astype(np.float64)).max())
        if unlike or not off <= HIDDEN_WITHIN:
            what = f"{', '.join(unlike)} differ" if unlike else f"hidden state off by {off:.2g}"
            findings.differing.append(f"{kind} of {user!r}: {what} (applied {is_['meta']['applied']})")
    return findings


def contents(kind: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> Findings:
    """Two mappings hold the same."""
    findings = once(kind, map(str, found), map(str, wanted))
    findings.differing += [
        f"{kind} {key}" for key in wanted.keys() & found.keys() if found[key] != wanted[key]
    ]
    return findings


def alike(one: Any, other: Any) -> bool:
    """Equal, but for the last bits of a float, in a number or in a sentence that tells it."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=SCORES_WITHIN, abs_tol=SCORES_WITHIN)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, str) and isinstance(other, str) and one != other:
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (one, other)]
        return (
            NUMBER.sub("#", one) == NUMBER.sub("#", other)
            and "." in one  # an id is equal or it is not
            and all(abs(a - b) <= SPOKEN_WITHIN for a, b in zip(*numbers, strict=True))
        )
    return bool(one == other)
