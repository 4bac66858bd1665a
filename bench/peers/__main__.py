"""`make bench-peers`: the worker beside what people would use instead, all at the same job on the same backlog.

The job: Avro events in, each shopper's ring of 50 and LSTM state (2x64) in a store with a log, one model step per event
in ONNX Runtime, an Avro prediction out to a topic of its own. One real Kafka, topics of 4 partitions, one program at a
time, one process each. Two populations: 100,000 shoppers, where almost every event is another one's, and 2,000.

Every program starts from nothing each time. The worker comes first and last, so that a machine that grows slower or
faster shows; a second round would be in the reverse order. A rate is taken after a warm-up, exactly once between two
commits, at least once by what was written. What a program wrote is counted, and compared with what the worker's code
says of the same events. Kafka Streams runs with and without its cache, since either may be the faster. A program that
fails is an error in the report, and the others' figures stand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import report
from bench.peers import measure
from bench.peers.environments import FLINK_KAFKA, HERE
from bench.peers.measure import Figures, Span
from bench.peers.programs import PEERS
from bench.peers.site import Site
from bench.processes import say
from bench.warming import warm
from bench.workload import Workload
from tests.brokers import Unavailable, kafka

OURS = {"intentflow": "exactly_once", "intentflow_alo": "at_least_once"}
POPULATIONS = {"many": 100_000, "hot": 2_000}
# Events/s of the worker, exactly once, over those of a peer.
RATIOS = {
    "many": {
        "plain_faust": 40.0,
        "quix": 8.0,
        "pyflink": 20.0,
        "bytewax": 6.0,
        "kafka_streams": 3.0,
        "kafka_streams_cached": 3.0,
        "kafka_streams_alo": 2.0,
        "kafka_streams_alo_cached": 2.0,
    },
    "hot": {"kafka_streams": 2.0, "kafka_streams_cached": 2.0},
}
LIBRARIES = ("quixstreams", "bytewax", "apache-flink")
SECONDS = {True: 10.0, False: 30.0}  # by whether the run is a short one
WARM_S = {True: 4.0, False: 12.0}  # the worker's first checkpoint is 10 s after its start
EVENTS = {True: 600_000, False: 3_000_000}
ROUNDS = 1  # about 22 minutes

Run = Callable[[Site, int], Figures]  # on the events of a site, with a number of its own


def main() -> int:
    options = _options()
    errors: dict[str, str] = {}
    found: dict[str, dict[str, list[Figures]]] = {name: {} for name in POPULATIONS}
    with tempfile.TemporaryDirectory(prefix="intentflow-peers-") as name:
        folder = Path(name)
        runs = _runs(options, folder, errors)
        with kafka.Kafka(heap_mb=1024) as broker:
            warm(broker, folder)
            for population, shoppers in POPULATIONS.items():
                say(f"producing {options.events:,} events of {shoppers:,} shoppers")
                try:
                    site = Site(broker, folder, population, Workload(shoppers, options.events))
                except Exception as problem:
                    _note(population, problem, errors)
                    continue
                for number, program in enumerate(_order(list(runs), options.rounds)):
                    _attempt(program, runs[program], site, number, found[population], errors)
    figures: dict[str, Any] = {
        "workload": {
            "events_of_each_population": options.events,
            "shoppers": ", ".join(f"{name} {count:,}" for name, count in POPULATIONS.items()),
            "partitions": 4,
            "rounds": options.rounds,
            "release": "2x64 LSTM, ring of 50, 300 categories, random weights",
        }
    }
    figures |= {
        name: {program: _mean(rounds) for program, rounds in by.items()} for name, by in found.items()
    }
    if errors:
        figures["errors"] = errors
    status = report.finish("peers", figures, _bars(figures), _versions(), report.trial())
    for program, problem in errors.items():
        print(f"ERROR {program}: {problem}", file=sys.stderr)
    return 1 if errors else status


def _runs(options: argparse.Namespace, folder: Path, errors: dict[str, str]) -> dict[str, Run]:
    """Each program by name, ready to start; peers that cannot be built go to `errors`."""
    span = Span(WARM_S[report.fast()], options.seconds, compared=1_000)
    runs: dict[str, Run] = {}

    def ours(guarantee: str) -> Run:
        return lambda site, number: measure.worker(site, guarantee, folder, number, span)

    for peer in PEERS:
        if peer.name not in options.only:
            continue
        try:
            say(f"building {peer.name}")
            command = peer.prepare()
        except Unavailable as problem:
            errors[peer.name] = f"cannot be installed: {problem}"
            continue
        runs[peer.name] = lambda site, number, peer=peer, command=command: measure.peer(
            site, peer, command, folder, number, span
        )
    mine = {name: ours(guarantee) for name, guarantee in OURS.items() if name in options.only}
    first = dict(list(mine.items())[:1])
    return first | runs | mine  # exactly once first, at least once last, and the reverse in the next round


def _order(programs: list[str], rounds: int) -> list[str]:
    """Every other round in reverse; of many the first comes last as well."""
    order = [name for turn in range(rounds) for name in (programs if turn % 2 == 0 else programs[::-1])]
    return order + order[:1] if len(programs) > 2 and rounds % 2 else order


def _attempt(
    program: str,
    run: Run,
    site: Site,
    number: int,
    found: dict[str, list[Figures]],
    errors: dict[str, str],
) -> None:
    say(f"{program} with {site.name} shoppers")
    try:
        figures = run(site, number)
    except Exception as problem:  # whatever it was, the others' figures must not go with it
        _note(f"{program}_{site.name}", problem, errors)
        return
    found.setdefault(program, []).append(figures)
    say(f"{program}: {figures['events_per_s']:,.0f} events/s, {figures['cores_used']:.2f} cores")


def _note(what: str, problem: Exception, errors: dict[str, str]) -> None:
    """One line into the report, all of it to the terminal."""
    say(f"{what} failed")
    print(problem, file=sys.stderr)
    errors[what] = f"{type(problem).__name__}: {problem}".splitlines()[0]


def _mean(rounds: list[Figures]) -> Figures:
    """The mean of each figure over all times, and the rate of each."""
    mean = {
        name: sum(one[name] for one in rounds) / len(rounds) if isinstance(value, int | float) else value
        for name, value in rounds[0].items()
    }
    return mean | {"events_per_s_each_time": " / ".join(f"{one['events_per_s']:,.0f}" for one in rounds)}


def _bars(figures: dict[str, Any]) -> list[report.Bar]:
    """The ratios that can be told from what was measured."""
    bars = []
    for population, ratios in RATIOS.items():
        by = figures[population]
        for peer, bar in ratios.items():
            if peer in by and "intentflow" in by:
                ratio = by["intentflow"]["events_per_s"] / by[peer]["events_per_s"]
                name = f"events/s, exactly once, over {peer} {by[peer]['guarantee']}, {population} shoppers"
                bars.append(report.at_least(name, ratio, bar))
    return bars


def _versions() -> dict[str, str]:
    """Of Kafka and of what the locks name."""
    versions = {"kafka": kafka.VERSION, "kafka-streams": kafka.VERSION}
    for lock in sorted(HERE.glob("*.lock")):
        for line in lock.read_text(encoding="utf-8").splitlines():
            package, _, version = line.partition("==")
            if package.partition("[")[0] in LIBRARIES:
                versions[package] = version.split()[0]
    return versions | {"flink-sql-connector-kafka": FLINK_KAFKA.rpartition(":")[2]}


def _options() -> argparse.Namespace:
    names = [*OURS, *(peer.name for peer in PEERS)]
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.peers")
    parser.add_argument("--only", default=",".join(names), help=f"some of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=SECONDS[short], help="measured of each")
    parser.add_argument("--events", type=int, default=EVENTS[short], help="of each population")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
