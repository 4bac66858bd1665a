"""The outcome agent killed again and again beside the worker: its last words are those of one that nothing happens to."""

from __future__ import annotations

from typing import Any

from tests.faults import compare
from tests.faults.compare import Findings
from tests.faults.run import Run, undisturbed
from tests.faults.shop import Shop, until
from tests.faults.stage import WAIT_S, Stage
from tests.faults.workers import Slot

EVENTS = 6_000
KILLS = 6
AGENT = ("-m", "streams.cli", "outcomes", "--instance", "one")
# The stream mixes shoppers of several years and plays days in a second. With the default of 48 hours a worker that is a moment
# behind would be as one that lags by more than that, which costs outcomes (see the setting), in whichever run it happens.
PATIENT = {"outcome_late_hours": 24.0 * 365 * 50}
# How often an outcome is written, and which of them was the first complete one, depends on when decisions and events came.
ARRIVAL = {"revision", "first_complete"}


class Agent(Slot):
    """A place for an outcome agent."""

    plain = AGENT


class Closing(Slot):
    """The same for one that reads to the end, and tells the outcomes of open windows, too."""

    plain = (*AGENT, "--until-end", "--close")


def outcome_agent_killed(stage: Stage) -> Findings:
    records = stage.book.known.records[:EVENTS]
    run = Run(stage.site, "outcomes", stage.book, stage.rng, stage.rate, stage.say, records=records)
    agent = Agent(8, run.shop.outside.model_copy(update=PATIENT), run.shop.folder)
    try:
        with run:
            run.progress()
            for _ in range(KILLS):
                agent.start()
                until(lambda: "metrics and health on " in agent.said(), agent.said, WAIT_S)
                run.pause(0.0, 4.0)
                agent.kill()
            until(lambda: run.stream.sent == len(records), "all events sent", WAIT_S)
    finally:
        agent.kill()
    told = len(run.shop.rows("outcome"))
    stage.say(f"outcome agent killed {KILLS} times, {told:,} outcomes told by then")
    reference = undisturbed(stage.site, "outcomes-calm", stage.book, records)
    findings = Findings()
    for shop in (run.shop, reference):
        _close(shop)
        rows = shop.rows("outcome")
        names = [f"{row['decision_id']} revision {row['revision']}" for row in rows]
        findings.add(compare.once("revision of an outcome", names, set(names)))
        first = [row["decision_id"] for row in rows if row["first_complete"]]
        findings.add(compare.once("first complete outcome", first, set(first)))
    found, wanted = last_words(run.shop), last_words(reference)
    findings.add(compare.records("outcome", found, wanted, lambda row: row["decision_id"], ARRIVAL))
    letters = (_refused(shop) for shop in (run.shop, reference))
    findings.add(compare.once("dead letter of the outcome agent", *letters))
    if not wanted:
        findings.lost.append("all outcomes: the undisturbed agent told none")
    return findings


def last_words(shop: Shop) -> list[dict[str, Any]]:
    """The outcome of the highest revision of each decision."""
    rows = sorted(shop.rows("outcome"), key=lambda row: int(row["revision"]))
    return list({row["decision_id"]: row for row in rows}.values())


def _refused(shop: Shop) -> list[str]:
    reasons = ("unknown_intervention", "no_such_coupon")
    letters = (row for row in shop.rows("dead_letter") if row["reason"] in reasons)
    return [f"{row['reason']} {row['value']!r}" for row in letters]


def _close(shop: Shop) -> None:
    agent = Closing(9, shop.settings.model_copy(update=PATIENT), shop.folder)
    agent.start()
    try:
        assert agent.process is not None
        if code := agent.process.wait(WAIT_S):
            raise RuntimeError(f"the outcome agent ended with {code}\n{agent.said()[-2000:]}")
    finally:
        agent.kill()
