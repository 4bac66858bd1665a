"""Shards hold what one training set in memory holds, whole shopper by whole shopper, in a fraction of the memory."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.replay import shards, stored
from models.replay.__main__ import main
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.shards import Shards, count_for
from models.replay.source import SourceProblem
from models.replay.splits import places
from models.replay.train import train
from models.survival import TASKS
from schemas.settings import Settings
from tests.models.replay.shop import (
    DAYS,
    RING,
    START,
    batch,
    event,
    in_environment,
    read,
    sequences,
    split,
    troubled,
    write,
)
from tests.models.replay.test_imports import ROOT
from tests.models.replay.test_train import EVENTS, RECIPE, UNTIL, same, trained


def same_sequences(one: Sequences, other: Sequences) -> bool:
    return (
        one.users.equals(other.users)
        and all(
            np.array_equal(getattr(one, name), getattr(other, name))
            for name in ("bounds", "events", "campaign")
        )
        and (one.campaigns, one.item_names, one.category_names)
        == (other.campaigns, other.item_names, other.category_names)
    )


@pytest.fixture
def shop(settings: Settings) -> Settings:
    write(Path(settings.archive_uri), troubled())
    return settings


def test_one_shard_is_the_training_set_in_memory(shop: Settings, tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    whole, found = read(shop, DAYS, dropped), split(shop, tmp_path / "shards", 1)
    assert same_sequences(found[0], whole)
    assert found.dropped == dropped
    assert {"bad_number", "double", "erased"} <= dropped.keys()


def test_shards_hold_every_shopper_once_and_whole(shop: Settings, tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    whole, found = read(shop, DAYS, dropped), split(shop, tmp_path / "shards", 7)
    assert len(found) > 4
    assert (found.events, found.dropped) == (len(whole), dropped)
    seen = []
    for one in found:
        users = one.users.to_pylist()
        seen += users
        theirs = whole.only(np.isin(whole.users.to_numpy(zero_copy_only=False), users))
        assert np.array_equal(one.events, theirs.events)
        assert np.array_equal(one.bounds, theirs.bounds)
    assert sorted(seen) == sorted(whole.users.to_pylist())


def test_a_stored_shard_is_read_back_with_its_event_ids(tmp_path: Path) -> None:
    built = sequences([event("a", START), event("b", START + 1, item_id=None)])
    kept = replace(built, event_ids=pa.array(["one", "two"]), dropped=Counter(double=3))
    fs, path = fsspec.filesystem("file"), str(tmp_path / "shard.arrow")
    stored.write(fs, path, kept)
    found = stored.read(fs, path)
    assert same_sequences(found, kept)
    assert (found.event_ids.to_pylist(), found.dropped) == (["one", "two"], {"double": 3})
    assert [one.name for one in tmp_path.iterdir()] == ["shard.arrow"]
    Path(path).write_bytes(Path(path).read_bytes()[:200])
    with pytest.raises(SourceProblem, match="build the training set again"):
        stored.read(fs, path)


def shards_of(folder: Path, count: int) -> Shards:
    return shards.write([batch(EVENTS)], count, str(folder), RING, Counter())


def test_training_on_one_shard_is_training_in_memory(tmp_path: Path) -> None:
    whole, one = trained(), train(shards_of(tmp_path, 1), UNTIL, RECIPE, 0)
    assert same(one, whole)
    assert (one.calibration, one.words.names) == (whole.calibration, whole.words.names)


def test_training_on_several_shards_learns_as_much_from_the_same_overall_figures(tmp_path: Path) -> None:
    recipe = replace(RECIPE, tasks=(*TASKS, "orders_7d", "session_buy"))
    every, parts = sequences(EVENTS), shards_of(tmp_path, 4)
    whole = train(every, UNTIL, recipe, 0, held=[places(every.users, 0) < 0.2])
    held = [places(one.users, 0) < 0.2 for one in parts]
    several = train(parts, UNTIL, recipe, 0, held=held)
    assert same(several, train(parts, UNTIL, recipe, 0, held=held))
    assert several.words.names == whole.words.names
    assert np.array_equal(several.words.shares, whole.words.shares)
    losses = [[epoch.held_out_loss for epoch in one.epochs] for one in (whole, several)]
    assert losses[1][-1] < losses[1][0]
    assert losses[1][-1] == pytest.approx(losses[0][-1], rel=0.1), losses


def test_too_little_memory_names_how_much_is_needed() -> None:
    assert count_for(1000, 1000) == 1
    assert count_for(10_000_000, 100) > 60
    with pytest.raises(SourceProblem, match="give at least 1336"):
        count_for(1_000_000_000, 1)


def test_a_run_in_shards_writes_a_release_and_leaves_no_shard(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    in_environment(shop, monkeypatch)
    interval = ["--from", "2017-01-01", "--to", "2017-02-09"]
    large = ["--memory-mib", "0.3", "--shards", str(tmp_path / "shards")]
    assert main(["run", *interval, "--train-until", "2017-02-01", "--fast", *large]) == 0, (
        capsys.readouterr().err
    )
    out = capsys.readouterr().out
    assert "evaluated on one shard of" in out
    assert len(list(Path(shop.releases_uri).iterdir())) == 1
    assert list((tmp_path / "shards").iterdir()) == []
    assert main(["build", *interval, *large, "--topics"]) == 1
    assert "leave out --topics" in capsys.readouterr().err


LIMIT_MIB = 40
BOUNDED = """
import resource, sys
from collections import Counter
import numpy as np
from models.replay import archive, shards, source
from models.replay.dataset import build
from schemas.settings import Settings

folder, how, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = Settings(archive_uri=folder + "/archive")
interval = source.Interval.between("2017-01-01", "2017-01-21")
limits = source.bounds(settings)

def events(over, dropped):
    return source.usable(archive.read_events(settings, over), limits, over, dropped)

def work(over, count, name):
    if how == "whole":
        return len(build(events(over, dropped := Counter()), settings.ring_events, dropped))
    dropped = Counter()
    found = shards.write(events(over, dropped), count, folder + name, settings.ring_events, dropped)
    return sum(int(np.diff(one.bounds).sum()) for one in found)

work(source.Interval.between("2017-01-01", "2017-01-02"), 1, "/first")  # loads what is loaded only once
used = {line.split(":")[0]: int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("Vm")}
resource.setrlimit(resource.RLIMIT_DATA, ((used["VmData"] + limit * 1024) * 1024,) * 2)
print(work(interval, 100, "/shards"))
"""


def bounded(folder: Path, how: str, limit: int = LIMIT_MIB) -> subprocess.CompletedProcess[str]:
    """Reads the archive in a process that may take so many MiB more than it has after its imports."""
    quiet = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet["ARROW_IO_THREADS"] = "1"  # the stack of a thread that starts later counts as data, too: 8 MiB each
    return subprocess.run(
        [sys.executable, "-c", BOUNDED, str(folder), how, str(limit)],
        cwd=ROOT,
        env={**quiet, "MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on a process's data is Linux's")
def test_an_archive_ten_times_larger_than_the_memory_allowed_is_read_in_shards(tmp_path: Path) -> None:
    days, each = 20, 134_000
    size = days * large_archive(tmp_path / "archive", days, each)
    assert size > 10 * LIMIT_MIB * 2**20
    found = bounded(tmp_path, "shards")
    assert found.returncode == 0, found.stderr[-2000:]
    assert int(found.stdout) == days * each
    assert bounded(tmp_path, "whole").returncode != 0, "the limit limits nothing"


def large_archive(folder: Path, days: int, each: int) -> int:
    """So many events on each of so many days; the bytes that a day's events take in memory."""
    one = pa.Table.from_batches([batch([event("a", START)]).events]).take(pa.array(np.zeros(each, int)))
    users = pa.array([f"shopper-{number:08d}" for number in range(each // 4)]).take(
        pa.array(np.arange(each) % (each // 4))
    )
    for day in range(days):
        times = START + day * DAY_MS + np.arange(each)
        ids = pa.array([f"00000000-0000-0000-{day:04d}-{number:012d}" for number in range(each)])
        table = one.set_column(0, "event_id", ids).set_column(1, "user_id", users)
        place = table.schema.get_field_index("event_time")
        table = table.set_column(place, "event_time", pa.array(times).cast(table.schema.field(place).type))
        for name, values in (
            ("_partition", np.zeros(each, np.int32)),
            ("_offset", np.arange(each) + day * each),
        ):
            table = table.append_column(name, pa.array(values))
        table = table.append_column("_timestamp", pa.array(times))
        target = folder / "events" / f"day={np.datetime64(START // DAY_MS + day, 'D')}"
        target.mkdir(parents=True)
        pq.write_table(table, target / f"behavior-events-0-{day * each}.parquet", row_group_size=5000)
    return int(table.nbytes)
