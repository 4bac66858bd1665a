"""`make bench-page`: docs/performance.md from what is in bench/results/, and nothing that is not in there.

Give `--check` to be told, with exit status 1, that the page is not that of the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench import paper
from bench.report import PAGE, RESULTS, Report, flat, read, text

OPENING = """# Performance

Made from `bench/results/*.json` by `make bench-page`; do not edit it. Every table is one command that anyone can run
again, on the hardware that it names; it ends with an error when a bar does not hold. In names of figures, what stands
last is the unit.
"""
ABOUT = {
    "faults": """
Real shoppers' events are streamed while harm is done, and all that was published and stored is compared with a run that
nothing happened to: `harms` by kind, `compared` by what was compared. docs/failures.md says what each of them looks like.
""",
    "pipeline": """
One worker and Apache Kafka on the same machine. **Saturation**: a backlog of events, hardly two of one shopper in a
row, is taken as fast as it goes; the rate is read off the offsets that the worker's transactions committed, after
start-up and with checkpoints going on. **Plain Faust** does the same job event by event on the same topic, from the same
release, at least once; it decides and checks nothing. `commit` overlaps with compute: while a transaction is under way,
the next pass computes. The limit is the compute thread (`compute_thread_busy_share`), which for part of that time waits
for the interpreter's lock: Kafka's client needs it, too. A broker that has just been started compiles itself for a
minute; that is over before a speed is measured, here and below.
""",
    "peers": """
The same job by every program, one after the other on the same topic: Avro in, a ring of 50 and the LSTM's state per
shopper in a store with a changelog (Bytewax: in memory with its sqlite recovery), one ONNX Runtime step per event, a
prediction out; no policy. `many`: 100,000 shoppers, hardly two events of one in a row; `hot`: 2,000. Kafka Streams asks
the model once for up to 512 records or 20 ms, with its record cache and without. Scores of all are held against the
worker's. Exactly once is counted by commits, at least once by what was written; at-least-once Kafka Streams commits
every 10 s, as often as the worker writes checkpoints. Each program is one process; `cores_used` says what it took, and
with `broker_cores_used` what was left of the two: the limit of each is either of them.
""",
    "shadow": """
What a challenger in shadow costs a worker: the same batches go through the pass and the packing of what it publishes,
with a challenger and without, taking turns in one process, so that a busy machine slows both. `pass_us` and `packing_us` are
CPU, stages are by the clock. Sending is left out; `published_bytes` says how much more there is to send.
""",
    "floor": """
The floor is a program (`bench/minimal.py`) that does only what nobody can leave out, with the worker's two threads, its
transactions and the same broker on the same two cores: fetch the bytes, decode the Avro, one LSTM step and the heads,
read and write as many rows in RocksDB as the worker did, send the bytes that it sent. It takes the same backlog in the
same run. The parts are also measured alone. `us_per_event_beyond_the_floor` says where the worker's other microseconds
go: stages by the clock of the compute thread, the rest as CPU.
""",
    "latency": """
From when an event was due to when a `read_committed` consumer could read its intervention, at three shares of the
throughput that the same worker had reached just before, with the policy in force. The generator keeps a fixed schedule
in a process of its own, and a stall counts for every event that it held up. `due_to_acknowledged`: the event is in
Kafka. `due_to_built`: its intervention is computed. `built_to_read`: the transaction and the reader's fetch. The limit
are the two cores, which worker, broker, generator and reader share (`cores_used` and its like): events that come one by
one cost all of them several times what a backlog costs, so that half the throughput of a backlog is nearly all that the
machine can do.
""",
    "growth": """
CPU of the worker per event, and its memory against the bound computed from its settings. In the row of shoppers memory
is held to 32,768 of them, so that at 100,000 most events, and from a million on nearly all, are of somebody whose row is
on disk: that is a step in the cost of an event, and what may not happen is that it goes on growing. Stores are filled
beforehand. `checkpoint_interval`: a worker under a steady load is killed -9, and its successor redoes what no checkpoint
covers.
""",
    "recovery": """
**Changelog**: a wiped data folder is filled from the changelog; the limit is the slower of reading and of writing to
RocksDB, each alone in the same run, or what the cores make of the CPU of both with the broker's, if that is less.
**Redo**: after a kill -9, events that no checkpoint covers are applied again and nothing is published; against the rate
live. **Takeover**: one of two workers is killed -9 under load; counted from when the group noticed to the first commit on
the last of its partitions.
""",
    "soak": """
Five million events through one worker, produced in slices; what memory and open files do over the second half.
""",
    "gpu": """
The torch engine on a GPU with random weights, loud enough that scores spread as those of a trained release do. A
**step** is one event each of a batch of shoppers, drawn from 131,072 whose state is on the device: numpy in, numpy out,
one CUDA graph. A **window** is 50 events from a zero state, as a rebuild runs it, in one packed call of cuDNN.
`roofline` is the share of the time that the call would take at least (its `limit`: FLOP at the rate of a big matrix
product, bytes in device memory or over the link at that of a big copy, measured in the same run). `state_on_host` is the
engine without graphs and with the state sent to and fro; `nn_lstm` is torch's LSTM alone, its inputs lying ready on the
device; `onnx` is ONNX Runtime with the state on the device.
""",
    "serving": """
One event each of B shoppers, heads included, with the state that is carried for them, on one core; and the same scores
from a window of 50 events, computed in the cheapest way there is: whole through torch's layers, or in 50 steps of either
engine. Weights are random. A transformer's state is its keys and values of 32 events, a tcn's the inputs that its layers
look back to: `state_floats` is what a shopper's row holds of them.
""",
    "shrink": """
Smaller models on half of the Complete Journey households, learnt from January to July, AUC on August and September; time
of one event per shopper, heads included, on one core, the least of five rounds that all take in turn.
[The frontier](frontier.svg) as a plot. `pruned`: units that little is made of are taken out; `from teacher`: learnt from
the scores of the 128/64 network beside what happened.
""",
    "next_item": """
Lists of 20 items after each basket of August and September, against the next basket, on a quarter of the Complete Journey
households (learnt from January to July). `head`: the release's next-item head, which lists take now; `popular of likely
categories`: what they took before, and take where a release has no head. Bars are the low ends of 95 % intervals, over
shoppers, of how many times as good the head is by NDCG@20. A shopper's own most frequent items are hard to beat on
groceries: over all the time they are counted, they are better than a head that sees 50 events; with
`INTENTFLOW_RING_EVENTS=255` the difference is within what chance makes of it. `cpu_us_per_look_up`: of one event that a list
may follow, 64 in a batch; no other event is looked up.
""",
    "uplift": """
Whom an e-mail changes, on a real randomised trial (Hillstrom): an arm against no e-mail, learnt from one half and judged
on the other, 20 times; `_sd` is that of one halving. **Qini** is 0 for chance and 1 for the best order there is; `uplift`
is what the e-mail does to the best 10 or 30 % by each learner. `chosen`: the one that folds of the learning half spoke
for, which alone stands to the bars. `policy`: which of two e-mails for whom, learnt from other folds, valued by DR and
paired against an e-mail about men's clothes for all; an e-mail costs as many outcomes as `at` says.
""",
    "ope": """
What a policy would have earned, told from another policy's log. Two bandits that know the truth, 200 logs of 10,000 rounds
each: `published` follows the protocol of zr-obp's synthetic bench, `far` is farther from its log; `floor` is DR with the
true expected rewards, and no estimator can be much better. `covers`: share of the 95 % intervals with the truth in them.
Then real logs (Open Bandit, small): each policy told from the other's log, against the mean of its own, which is of 38 to 69
clicks. Where fewer than 100 rounds are left in effect, an estimate is refused.
""",
    "honesty": """
The effect report held against a made-up shop whose truth is known (models/shop), 200 times with other shoppers and another
lot. `effect`: nine in ten shoppers get coupons of 5 over two weeks, the others are held out; `covers` is the share of runs
whose 95 % interval holds the true effect, `covers_without_cuped` that of the plain difference, `noise_removed` what the 28 days
before take off its variance. `nothing`: as many runs in which nobody gets anything; alarms are counted at p < .05, and a run of
200 that are right lies within the binomial band in 99 of 100 cases. `at_every_look`: 40 looks a run while shoppers come in.
""",
    "loop": """
Made-up shoppers whose true effects are known (`models/shop`), a tenth held out, the same daily budget for all. The learner
begins with nothing; four weeks are its learning period, the next four are judged. `gain_by_day` is the true expected margin
over doing nothing, `share_of_oracle` its share of what a choice by the true effects of each day earns, which looks no further
than the day; `share_low` and `share_high` are a 95 % interval over five seeds.
""",
    "realism": """
The made-up shop beside real logs; it is fitted to Taobao, the other two show how far real shops are from each other. AUC is of
a logistic regression on what a site sees (`seen`) and of who knows the shoppers' latents (`best_possible`). Not real data.
""",
    "training": """
Events per second of CPU on one core. **gru4rec**: YooChoose clicks, our GRU4Rec beside its official PyTorch code, which
is not part of this repository (`GRU4REC=folder make bench-training`): the same sessions, 100 units, tied item vectors,
cross entropy with 2,048 negatives, as many clicks to predict in a batch; one epoch each in turn, medians of three rounds;
recall and MRR after five epochs of each. Optimiser, dropout and scoring are each one's own: Adagrad with momentum and
products there, AdamW and cosines here. **network**: the worker's network on a quarter of the Complete Journey
households. `loader_share`: of an epoch, with its evaluation of held-out shoppers, what making the batches takes.
`packed_pass` and `padded_pass`: embeddings and trunk forwards and backwards over every event once, shoppers of like
length together and packed as in training, against shoppers by chance, padded to the longest.
""",
    "memory": """
A million shoppers come once each, then some come again, through one worker at default settings. The bound is computed
from the settings (`bench/memory_bound.py`): rows in memory, RocksDB's cache and write buffers, contacts, records that
wait, turns under way, and a base for interpreter, libraries and model.
""",
}


def page(reports: Iterable[Report]) -> str:
    """The whole page as Markdown."""
    return "\n".join([OPENING, *(section(report) for report in reports)])


def section(report: Report) -> str:
    """One measurement."""
    hardware = ", ".join(f"{key} {value}" for key, value in report.hardware.items())
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [
        f"## {report.name}",
        "",
        *([ABOUT[report.name].strip(), ""] if report.name in ABOUT else []),
        f"`{report.command}` on {report.measured_at[:10]} at commit `{report.commit[:12]}`; {hardware}.",
        "",
        "| bar | value | wanted | holds |",
        "|---|---|---|---|",
        *(
            f"| {b.name} | {text(b.value)} | {b.bar} | {'yes' if b.holds else '**no**'} |"
            for b in report.bars
        ),
        "",
        *tables(report.figures),
        *(
            [paper.section(report.figures)]
            if report.name == "growth" and "shoppers" in report.figures
            else []
        ),
        f"Versions: {versions}.",
        "",
    ]
    return "\n".join(lines)


def tables(figures: Mapping[str, Any]) -> list[str]:
    """Plain figures as a list, and side by side what was measured in the same way several times."""
    plain, grids = _sorted_out(figures, "")
    lines = [
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in plain),
        "",
    ]
    return (lines if plain else []) + [line for name, grid in grids for line in _side_by_side(name, grid)]


def _sorted_out(
    figures: Mapping[str, Any], above: str
) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """Figures by dotted name, and grids: groups of two or more that have the same figures and no grid within."""
    groups = {key: value for key, value in figures.items() if isinstance(value, Mapping)}
    plain: list[tuple[str, Any]] = []
    grids: list[tuple[str, Any]] = []
    for key, value in figures.items():
        if key not in groups:
            plain.append((above + key, value))
            continue
        more, within = _sorted_out(value, f"{above}{key}.")
        plain += more
        grids += within
    columns = {tuple(name for name, _ in flat(group)) for group in groups.values()}
    if len(groups) > 1 and len(columns) == 1 and not grids:
        return [(above + key, figures[key]) for key in figures if key not in groups], [
            (above.rstrip(".") or "figure", groups)
        ]
    return plain, grids


def _side_by_side(name: str, grid: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The longer side of the grid goes down the page."""
    cells = {key: dict(flat(group)) for key, group in grid.items()}
    figures = list(next(iter(cells.values())))
    across = figures if len(figures) < len(cells) else list(cells)
    down = list(cells) if across is figures else figures
    rows = (
        " | ".join(
            _cell(cells[row][column] if across is figures else cells[column][row]) for column in across
        )
        for row in down
    )
    return [
        f"| {name} | {' | '.join(across)} |",
        f"|---{'|---' * len(across)}|",
        *(f"| {row} | {values} |" for row, values in zip(down, rows, strict=True)),
        "",
    ]


def _cell(value: Any) -> str:
    """A figure in one cell of a table, also when it is somebody's error message."""
    return text(value).replace("|", "\\|").replace("\n", " ")


def reports(folder: Path = RESULTS) -> list[Report]:
    """All results in a folder, the pipeline's first. Those of the models have a page of their own (bench/models)."""
    found = (read(path) for path in folder.glob("*.json") if path.stem != "models")
    return sorted(found, key=lambda report: (report.name != "pipeline", report.name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.page")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    made = page(reports())
    if parser.parse_args().check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print(
            "docs/performance.md is up to date" if current else "docs/performance.md is old: make bench-page"
        )
        return 0 if current else 1
    PAGE.write_text(made, encoding="utf-8")
    print("docs/performance.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
