"""One program at work on a backlog: its rate between two moments at which more was done, over a steady stretch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers import agreement
from bench.peers.export import export
from bench.peers.programs import Peer, Program
from bench.peers.site import Site
from bench.processes import TICK_S, Committed, Running, Sample, Worker, changes, sample
from bench.throughput import rates
from schemas.topics import Topics

LIMIT_S = 300.0
LEAST_S = 2.0  # a stretch that is shorter says nothing

Figures = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """Seconds from the first progress until measuring begins, seconds measured; predictions compared of each partition."""

    warm_s: float
    measured_s: float
    compared: int


def peer(
    site: Site, which: Peer, command: Callable[[str], list[str]], folder: Path, number: int, span: Span
) -> Figures:
    """Figures of a peer that starts from nothing. RuntimeError when it does not do the job."""
    group = f"{which.name}-{site.name}-{number}"
    job = export(site.settings, group, folder / group)
    predictions = f"{group}-predictions"
    site.create(predictions)
    try:
        with Program(which, command(str(job)), site.settings, group, folder) as program:
            progress = program.progress(predictions)
            return _figures(site, program, progress, predictions, span) | {"guarantee": which.guarantee}
    finally:
        site.remove(group)


def worker(site: Site, guarantee: str, folder: Path, number: int, span: Span) -> Figures:
    """The same of the worker."""
    settings = site.worker(folder, f"ours-{guarantee}-{site.name}-{number}".replace("_", "-"), guarantee)
    predictions = Topics(settings).predictions
    try:
        with Worker(settings, folder) as program:
            progress = Committed(settings, settings.app_id)
            found = _figures(site, program, progress, predictions, span)
            return found | {"guarantee": guarantee.replace("_", " ")}
    finally:
        site.renew()


def _figures(site: Site, program: Running, progress: Committed, predictions: str, span: Span) -> Figures:
    """Rates of a running program, after its predictions were found to be there and right."""
    try:
        steady = _steady(program, progress, site, span)
        # A program that fails at every event may commit them all the same: what it published has to be there.
        written = progress.written(predictions)
        if written < steady[-1].committed:
            raise RuntimeError(
                f"{written:,} predictions of {steady[-1].committed:,} events\n{program.tail()}"
            )
    finally:
        progress.close()
    found = agreement.written(site.settings, predictions, span.compared)
    # A program that reads its partitions one by one, and writes without keys, spreads one over all, not evenly.
    wanted = agreement.expected(site.settings, 2 * site.settings.partitions * span.compared)
    apart = agreement.difference(wanted, found)
    if apart > agreement.CLOSE:
        raise RuntimeError(f"its scores differ by {apart:.3g} from the worker's for the same events")
    measured = rates(steady[0], steady[-1])
    del measured["measured_events"]  # follows from two others, and the table is wide
    return measured | {"largest_difference_of_a_score": apart}


def _steady(program: Running, progress: Committed, site: Site, span: Span) -> list[Sample]:
    """Samples at which more was done than at the one before, from `warm_s` after the first such one on."""
    samples: list[Sample] = []
    events, end = site.workload.events, time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        program.check()
        samples.append(sample(program, site.broker_pid, progress))
        moved = [one for one in changes(samples) if one.committed < events]
        steady = [one for one in moved if one.at >= moved[0].at + span.warm_s]
        long = len(steady) > 1 and steady[-1].at >= steady[0].at + span.measured_s
        if long or samples[-1].committed >= events:
            break
        time.sleep(TICK_S)
    if len(steady) < 2 or steady[-1].at < steady[0].at + LEAST_S:
        done = samples[-1].committed
        raise RuntimeError(
            f"{done:,} of {events:,} events were done, without a stretch to measure: "
            + (f"more --events\n{program.tail()}" if done >= events else program.tail())
        )
    return steady
