"""Harms that need a shop of their own: what is in the events, in a release, in the retention, in the cluster.

Each returns its findings; SCENARIOS has them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models import promotion
from models.release import Release
from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.sequences import release_hash
from tests.brokers.cluster import Cluster
from tests.faults import compare, deployment
from tests.faults.compare import Findings
from tests.faults.crashing_worker import NOT_FINITE, POISON
from tests.faults.events import Record
from tests.faults.outcome_agent import outcome_agent_killed
from tests.faults.run import BROKER, Run, Site, predictions_and_letters, undisturbed
from tests.faults.shop import Shop, until
from tests.faults.stage import WAIT_S, Stage
from tests.faults.state import Changelogs
from tests.faults.truth import Judge
from tests.faults.workers import Slot

SPOILED = {"poisoned": 666.25, "not_finite": 777.75}  # reason -> price of the events that come to it
REFUSED = ("RetentionTooShort", "INTENTFLOW_RETENTION_DAYS")


def poisoned_records(stage: Stage) -> Findings:
    """A record that raises in the pass, and one that the model answers with NaN: they alone are dead letters."""
    honest = stage.book.known.records[:3_000]
    records = list(_with_spoiled(honest))
    variables = {POISON: str(SPOILED["poisoned"]), NOT_FINITE: str(SPOILED["not_finite"])}
    run = Run(
        stage.site,
        "poisoned",
        stage.book,
        stage.rng,
        3 * stage.rate,
        stage.say,
        records=records,
        spoiled=SPOILED,
        **variables,
    )
    with run:
        run.progress()
        run.workers.slots[0].kill()
        until(lambda: run.stream.sent == len(records), "all events sent", WAIT_S)
    # A poisoned event leaves no trace; one that is not finite is in the shopper's past.
    clean = [record for record in records if not record.event_id.startswith("poisoned")]
    reference = undisturbed(stage.site, "honest", stage.book, clean, **variables)
    stage.site.past = (reference.stores, reference.topics.behavior_events)
    return run.verdict(reference)


def _with_spoiled(records: list[Record]) -> list[Record]:
    """A poisoned event after every 400th, one of the other kind 200 later, of the shoppers who come anyway."""
    codec = Codec(FileRegistry(), "behavior_event")
    found: list[Record] = []
    for at, record in enumerate(records):
        found.append(record)
        if at % 200 == 199 and record.event_id:
            (row,) = codec.decode_rows([record.value])
            reason = "poisoned" if at % 400 == 199 else "not_finite"
            spoiled = {**row, "event_id": f"{reason}-{at}", "price": SPOILED[reason]}
            (value,) = codec.encode_rows([spoiled])
            found.append(Record(record.key, value, spoiled["event_id"]))
    return found


def release_swapped(stage: Stage) -> Findings:
    """Another release is swapped in while partitions move; a worker dies meanwhile."""
    site, first = stage.site, stage.book.release
    second = deployment.release(site.folder, stage.book.known, seed=5)
    run = Run(site, "swapped", stage.book, stage.rng, stage.rate, stage.say)
    with run:
        run.progress()
        run.workers.scale(2)
        run.pause(0.0, 5.0)
        promotion.promote(run.shop.settings, second)
        run.pause(0.0, 3.0)
        run.workers.slots[0].kill()
        until(
            lambda: _all_use(run, second),
            lambda: f"both workers use {second.id}\n{run.workers.tail()}",
            WAIT_S,
        )
        settled = run.shop.ends()
        run.progress()
        run.pause(1.0, 2.0)
    return _swap_findings(run, first, second, settled)


def _all_use(run: Run, wanted: Release) -> bool:
    return all(slot.health().get("release") == wanted.id and slot.states() for slot in run.workers.slots[:2])


def _swap_findings(run: Run, first: Release, second: Release, settled: dict[int, int]) -> Findings:
    shop, log = run.shop, run.shop.read(run.shop.topics.behavior_events)
    judges = {name: Judge(shop.settings, one) for name, one in ((first.id, first), (second.id, second))}
    truths = {name: judge.truth(log) for name, judge in judges.items()}
    truth = truths[first.id]
    findings = predictions_and_letters(shop, truth)
    named = {row["event_id"]: row["release"] for row in shop.rows("prediction")}
    for event_id, name in named.items():
        number, offset = truth.offsets[event_id]
        if name not in truths or (offset >= settled[number] and name != second.id):
            findings.differing.append(f"prediction of {event_id}: release {name} was not in force")
    decisions, interventions = shop.rows("decision"), shop.rows("intervention")
    emitted = [row["intervention_id"] for row in decisions if row["intervention_id"]]
    findings.add(compare.once("intervention", (row["intervention_id"] for row in interventions), emitted))
    findings.add(
        compare.once(
            "decision", (row["decision_id"] for row in decisions), {row["decision_id"] for row in decisions}
        )
    )
    findings.differing += [
        f"decision {row['decision_id']}: release {row['release']}, its prediction says {named.get(row['event_id'])}"
        for row in decisions
        if named.get(row["event_id"]) != row["release"]
    ]
    changelogs = Changelogs(shop)
    by_hash = {release_hash(name): name for name in truths}
    for number in range(shop.settings.partitions):
        kept = changelogs.on_empty_disk(number)
        found = judges[second.id].recovered(log, number, kept.sequences, kept.redo)
        # A row says which release made its hidden state. A ring that overflowed forgets what a rebuild would need.
        wanted = {
            user: truths[by_hash[int(row["meta"]["release"])]].rows[number][user]
            for user, row in found.items()
            if row["meta"]["length"] < shop.settings.ring_events
        }
        findings.add(compare.rows("row (empty disk)", {user: found[user] for user in wanted}, wanted))
    return findings


def retention_too_short(stage: Stage) -> Findings:
    """Events that redo does not need are gone: the worker goes on. Those that it needs: it refuses and says what to do."""
    shop = stage.site.shop("short-kept")
    shop.open(stage.book.release, stage.book.policy)
    records = stage.book.known.records[:3_000]
    shop.send(records[:1_500])
    slot = Slot(0, shop.outside, shop.folder)
    try:
        slot.start(INTENTFLOW_CHECKPOINT_INTERVAL_S="0.5")
        until(lambda: shop.lag() == 0, lambda: f"1,500 events committed\n{slot.said()[-2000:]}", WAIT_S)
        until(lambda: _redo(shop) == shop.ends(), "checkpoints of idle partitions, at their ends", WAIT_S)
        slot.end()
        _ended(slot)
        shop.delete_until(shop.ends())
        shop.send(records[1_500:])
        slot.start(INTENTFLOW_CHECKPOINT_INTERVAL_S="3600")
        until(lambda: shop.lag() == 0, lambda: f"3,000 events committed\n{slot.said()[-2000:]}", WAIT_S)
        slot.kill()
        shop.delete_until(shop.ends())
        before = len(shop.read(shop.topics.predictions))
        slot.start()
        code = _ended(slot)
        findings = Findings()
        if code == 0 or not all(word in slot.said() for word in REFUSED):
            findings.differing.append(f"no refusal: exit code {code}, log ends {slot.said()[-500:]!r}")
        if len(shop.read(shop.topics.predictions)) != before:
            findings.doubled.append("the worker published before it refused")
        findings.compared["refusal"] += 1
        return findings
    finally:
        slot.kill()


def _redo(shop: Shop) -> dict[int, int]:
    """Where a worker on a new machine would redo from, by partition."""
    changelogs = Changelogs(shop)
    return {number: changelogs.on_empty_disk(number).redo for number in range(shop.settings.partitions)}


def _ended(slot: Slot) -> int:
    assert slot.process is not None
    return slot.process.wait(WAIT_S)


class ThreeBrokers(Site):
    """A cluster of three nodes, without a proxy."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster, self.past = folder, cluster, None
        self.outside = cluster.bootstrap

    def shop(self, name: str, **changes: object) -> Shop:
        return self._shop(
            name, self.cluster.bootstrap, replication_factor=3, min_insync_replicas=2, **changes
        )


def one_of_three_brokers_killed(stage: Stage) -> Findings:
    """Replication 3, min.insync 2: a node is killed -9 and comes back, then the node whose controller leads."""
    with Cluster(BROKER) as cluster:
        site = ThreeBrokers(stage.site.folder, cluster)
        run = Run(site, "three", stage.book, stage.rng, stage.rate, stage.say)
        with run:
            run.progress()
            for node in (stage.rng.choice(cluster.nodes), cluster.leader()):
                node.kill()
                run.progress()
                node.start()
                run.pause(2.0, 4.0)
        reference = undisturbed(site, "three-calm", stage.book, run.records[: run.sent])
        return run.verdict(reference)


SCENARIOS: dict[str, Callable[[Stage], Findings]] = {
    "poisoned and not finite records": poisoned_records,
    "release swapped while partitions move": release_swapped,
    "retention shorter than redo": retention_too_short,
    "outcome agent killed, again and again": outcome_agent_killed,
    "one of three brokers killed": one_of_three_brokers_killed,
}
HEAVY = {"one of three brokers killed"}  # not in the short form
