"""A challenger in shadow: scored beside the champion in the same transaction, acted on by nobody, dropped at a fault."""

from __future__ import annotations

import ast
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.engine import load
from models.featurizer import FeatureSpec
from models.release import NotFinite, OtherFeatures, read
from schemas.settings import Settings
from streams import challenger as module
from streams.challenger import Challenger, check_fits, refused
from streams.model import Model
from streams.partition import Partition as RealPartition
from streams.shadow import Shadow
from streams.shoppers import Shoppers
from tests.streams import redo
from tests.streams.kafkaless import Desk, Reader, Stage, until
from tests.streams.live import RING, Partition, event, model, records, release

STREAMS = Path(__file__).parents[2] / "streams"
USERS = 6
MINUTE = 60_000


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Champion, challenger, and a third that reads other buckets."""
    folder = tmp_path_factory.mktemp("releases")
    other = FeatureSpec(item_buckets=32, category_buckets=8)
    return [release(folder), release(folder, seed=3), release(folder, seed=5, features=other)]


def odd_log(events: int = 60) -> list[Any]:
    """Events of few shoppers: late ones, doubles, an erasure and a consent among them."""
    rows = [event(at % USERS, at) for at in range(events)]
    rows[23]["event_time"] -= 14 * MINUTE
    rows[30] = rows[18]
    rows[36] |= {"event_type": "erasure"}
    rows[40] |= {"event_type": "consent", "properties": {"channel": "coupon", "granted": "no"}}
    return records(rows)


def by_event(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {row["event_id"]: row for row in rows}
    assert len(found) == len(rows), "an event was scored twice"
    return found


def same_scores(mine: list[dict[str, Any]], theirs: list[dict[str, Any]], atol: float = 1e-5) -> None:
    ours, wanted = by_event(mine), by_event(theirs)
    assert ours.keys() == wanted.keys()
    for name, row in ours.items():
        np.testing.assert_allclose(row["survival"], wanted[name]["survival"], atol=atol)
        assert row["release"] == wanted[name]["release"]


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 60])
def test_a_challenger_says_what_it_would_say_as_the_champion(
    which: int, size: int, uris: list[str], tmp_path: Path
) -> None:
    """Also of late events, doubles and the erased, and with buckets of its own."""
    shadowed, alone = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[which])
    shadowed.challenge(uris[which])
    log = odd_log()
    for first in range(0, len(log), size):
        shadowed.process(log[first : first + size])
    for record in log:
        alone.process([record])
    same_scores(shadowed.predictions("shadow_prediction"), alone.predictions())
    ids = {row["prediction_id"] for row in shadowed.predictions("shadow_prediction")}
    assert not ids & {row["prediction_id"] for row in shadowed.predictions()}


def test_a_challenger_that_comes_later_begins_from_the_ring(uris: list[str], tmp_path: Path) -> None:
    """Shoppers with no more events than the ring holds: as if it had been there from the first."""
    late, always = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[0])
    always.challenge(uris[1])
    log = records([event(at % USERS, at) for at in range(USERS * RING)])
    half = len(log) // 2
    for one in (late, always):
        one.process(log[:half])
    late.challenge(uris[1])
    for one in (late, always):
        one.process(log[half:])
    mine = late.predictions("shadow_prediction")
    assert len(mine) == half
    same_scores(mine, always.predictions("shadow_prediction")[half:])


def test_shoppers_that_leave_memory_and_come_back_keep_their_scores(uris: list[str], tmp_path: Path) -> None:
    """Slots change hands all the time: a state is never taken for that of another shopper."""
    crowded, roomy = Partition(tmp_path / "a", uris[0], rows=4), Partition(tmp_path / "b", uris[0])
    log = records([event(at % 11, at) for at in range(11 * RING)])
    for one in (crowded, roomy):
        one.challenge(uris[1])
        for first in range(0, len(log), 3):
            one.process(log[first : first + 3])
    assert crowded.shoppers.rows.evictions > 50
    same_scores(crowded.predictions("shadow_prediction"), roomy.predictions("shadow_prediction"))


def test_decisions_contacts_and_rows_are_the_same_to_the_byte_with_and_without_a_challenger(
    uris: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    rules = redo.policy(model(uris[0]).engine.tasks)
    plain, shadowed = (Partition(tmp_path / name, uris[0], policy=rules) for name in ("a", "b"))
    shadowed.challenge(uris[1])
    log = odd_log()
    for one in (plain, shadowed):
        for first in range(0, len(log), 7):
            one.process(log[first : first + 7])
    champion = [(name, value) for name, value in shadowed.published if name != "shadow_prediction"]
    assert champion == plain.published
    assert {"decision", "intervention", "prediction"} <= {name for name, _ in champion}
    assert len(champion) < len(shadowed.published)
    assert shadowed.contacts_log.records == plain.contacts_log.records
    assert all(shadowed.row(user).tobytes() == plain.row(user).tobytes() for user in range(USERS))


def test_what_decides_knows_nothing_of_a_challenger() -> None:
    for name in ("decide", "rules", "compiled", "candidates", "interventions", "policy/policy", "contacts"):
        tree = ast.parse((STREAMS / f"{name}.py").read_text())
        words = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {"streams.shadow", "streams.challenger", "streams.passing"} & words, name


@pytest.mark.parametrize("local_write", [True, False])
def test_after_a_crash_each_event_has_one_shadow_prediction(
    local_write: bool, uris: list[str], tmp_path: Path
) -> None:
    """Redo steps no challenger; what is published after it is what a calm run publishes."""
    hurt, calm = Partition(tmp_path / "a", uris[0], interval=1e9), Partition(tmp_path / "b", uris[0])
    log = records([event(at % USERS, at) for at in range(USERS * RING)])
    for one in (hurt, calm):
        one.challenge(uris[1])
    calm.process(log)
    hurt.process(log[:9])
    hurt.process(log[9:15], local_write)
    hurt.compute(log[15:20])  # lost before its commit
    position = hurt.crash()
    assert position == 0
    hurt.process(log[:18])  # redo and new events in one batch
    hurt.process(log[18:])
    same_scores(hurt.predictions("shadow_prediction"), calm.predictions("shadow_prediction"))


@pytest.mark.parametrize("broken", [Shoppers, Shadow])
def test_a_batch_that_is_undone_leaves_no_trace_in_the_challenger(
    broken: type, uris: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises at the end of the pass, or when the challenger was stepped and not all of the champion's work is done."""
    hurt, calm = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[0])
    log = records([event(at % USERS, at) for at in range(USERS * RING)])
    for one in (hurt, calm):
        one.challenge(uris[1])
        one.process(log[:12])
    with monkeypatch.context() as harm:
        harm.setattr(broken, "end", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hurt.passing.process([(hurt.shoppers, log[12:20])], undoable=True)
    for one in (hurt, calm):
        one.process(log[12:])
    same_scores(hurt.predictions("shadow_prediction"), calm.predictions("shadow_prediction"))


def test_the_champion_is_swapped_under_a_challenger(uris: list[str], tmp_path: Path) -> None:
    """Also for one that reads other buckets; the challenger goes on as if nothing had happened."""
    swapped, calm = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[0])
    log = records([event(at % USERS, at) for at in range(60)])
    for one in (swapped, calm):
        one.challenge(uris[1])
        one.process(log[:30])
    swapped.use(uris[2])
    for one in (swapped, calm):
        one.process(log[30:])
    assert {row["release"] for row in swapped.predictions()} == {read(uris[0]).id, read(uris[2]).id}
    same_scores(swapped.predictions("shadow_prediction"), calm.predictions("shadow_prediction"))


class Failing:
    """The challenger's engine, until `fault` is set: then steps or heads raise, or give what is no number."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.fault: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, *arguments: Any) -> Any:
        trunk, hidden = self._engine.step(*arguments)
        if self.fault == "step raises":
            raise RuntimeError("no memory for the step")
        return (trunk * np.nan if self.fault == "step is nan" else trunk), hidden

    def heads(self, trunk: Any) -> Any:
        if self.fault == "heads raise":
            raise RuntimeError("no memory for the heads")
        scores = self._engine.heads(trunk)
        return scores._replace(tasks=scores.tasks * np.nan) if self.fault == "heads are nan" else scores


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("step raises", "raised"),
        ("step is nan", "not_finite"),
        ("heads raise", "raised"),
        ("heads are nan", "not_finite"),
    ],
)
def test_a_challenger_that_fails_is_dropped_and_the_champion_goes_on(
    fault: str, reason: str, uris: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hurt, plain = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[0])
    engine = Failing(load(uris[1]))
    made: Any = Model(engine, read(uris[1]).card)  # type: ignore[arg-type]
    hurt.challenger = Challenger(engine.release_id, made)
    hurt.passing.use(hurt.model, None, hurt.challenger)
    before = module.DROPPED.labels(reason)._value.get()
    log = odd_log()
    for first in range(0, len(log), 10):
        engine.fault = fault if first == 20 else None
        hurt.process(log[first : first + 10])
        plain.process(log[first : first + 10])
    assert len(hurt.predictions("shadow_prediction")) == 20
    assert hurt.challenger.dropped.startswith(reason)
    assert module.DROPPED.labels(reason)._value.get() == before + 1
    assert "is dropped, the champion goes on" in caplog.text
    same_scores(hurt.predictions(), plain.predictions(), atol=0)
    assert all(hurt.row(user).tobytes() == plain.row(user).tobytes() for user in range(USERS))


def test_one_that_counts_sessions_otherwise_does_not_fit(uris: list[str], tmp_path: Path) -> None:
    champion = model(uris[0])
    check_fits(model(uris[2]), champion)
    spec = FeatureSpec(item_buckets=64, category_buckets=16, session_gap_s=60.0)
    with pytest.raises(OtherFeatures, match="after 60 s, the release in use after 1800 s"):
        check_fits(model(release(tmp_path, features=spec)), champion)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OtherFeatures("x"), "feature_spec"),
        (NotFinite("x"), "not_finite"),
        (OSError("gone"), "unreadable"),
        (KeyError("weights"), "unreadable"),
    ],
)
def test_one_that_cannot_be_loaded_is_refused_with_a_reason(fault: Exception, reason: str) -> None:
    assert refused("intent-x", fault).page()["dropped"].startswith(reason)


def test_shadow_predictions_are_in_the_transaction_of_their_events(
    settings: Settings, uris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns over two partitions, with a challenger from the start: each commit holds both predictions of its events."""
    found = model(uris[1])
    stage = Stage(settings, uris[0], monkeypatch, Challenger(found.engine.release_id, found))
    rng, desk, logs = random.Random(1), Desk(0.01), []
    for number in range(2):
        log = records([event(number * USERS + at % USERS, at) for at in range(100)])
        for record in log:
            record.partition = number
        logs.append(log)
    readers = [Reader(log, desk, lambda: rng.randrange(1, 30)) for log in logs]

    async def script(partition: RealPartition) -> None:
        await until(lambda: len(desk.rows("predictions", "prediction")) == 200, partition)

    stage.run(readers, desk, script)

    def of(outputs: dict[str, list[Any]], topic: str) -> list[bytes]:
        return [key for key, _ in outputs.get(topic, [])]

    assert all(of(one, "predictions") == of(one, "shadow-predictions") for one in desk.outputs)
    theirs = desk.rows("shadow-predictions", "prediction")
    assert [row["event_id"] for row in theirs] == desk.event_ids()
    assert {row["release"] for row in theirs} == {found.engine.release_id}


def test_a_partition_that_rests_in_rebalances_publishes_each_shadow_prediction_once(
    settings: Settings, uris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parked with what is in work committed, and back again; some times somebody else has moved it on meanwhile."""
    found = model(uris[1])
    stage = Stage(settings, uris[0], monkeypatch, Challenger(found.engine.release_id, found))
    rng, desk = random.Random(2), Desk(0.01)
    log = records([event(at % USERS, at) for at in range(200)])
    reader = Reader(log, desk, lambda: rng.randrange(1, 12))

    async def script(partition: RealPartition) -> None:
        for part in range(1, 5):
            await until(lambda part=part: desk.committed >= 40 * part, partition)  # type: ignore[misc]
            await partition.park()
            if part % 2:
                await partition.stop()  # all state is given back
            partition.start()
        await until(lambda: desk.committed >= 200, partition)

    stage.run(reader, desk, script)
    assert [row["event_id"] for row in desk.rows("shadow-predictions", "prediction")] == desk.event_ids()
    assert len(set(desk.event_ids())) == len(desk.event_ids()) == 200


def test_a_partition_that_moves_to_another_machine_goes_on_with_the_challenger(
    uris: list[str], tmp_path: Path
) -> None:
    """Nothing local is left; rows come from the changelog, the challenger's states from their rings."""
    moved, calm = Partition(tmp_path / "a", uris[0]), Partition(tmp_path / "b", uris[0])
    log = records([event(at % USERS, at) for at in range(USERS * RING)])
    for one in (moved, calm):
        one.challenge(uris[1])
        one.process(log[:16])
    moved.store.close()
    moved.folder = tmp_path / "elsewhere"
    position = moved.open()
    assert position <= 16
    for one in (moved, calm):
        one.process(log[16:] if one is calm else log[position:])
    same_scores(moved.predictions("shadow_prediction"), calm.predictions("shadow_prediction"))
