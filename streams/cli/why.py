"""`intentflow why`: the last decisions about a shopper, with what led to them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import dropwhile, groupby, islice
from typing import Annotated, Any

import typer

from schemas.settings import Settings
from streams.cli import policies, story, verb
from streams.cli.contents import Contents
from streams.cli.drivers import EVENTS, Drivers
from streams.cli.log import Log
from streams.policy import Policy
from streams.policy_document import parse

app = verb()
BEFORE = 5  # events shown before the one that raised a decision
BACK = 300_000  # offsets searched for the events that drove a score
Row = dict[str, Any]


class Outcome(StrEnum):
    """Outcomes as in schemas/decision.avsc."""

    emit = "emit"
    held_back = "held_back"
    nothing = "nothing"


@app.command()
def why(
    user: Annotated[str, typer.Argument(metavar="USER", help="Shopper: the user_id of the events.")],
    count: Annotated[
        int, typer.Option("-n", help="So many decisions; those of one event stay together.", min=1)
    ] = 3,
    only: Annotated[Outcome | None, typer.Option(help="Only decisions with this outcome.")] = None,
    drivers: Annotated[
        bool, typer.Option(help="Say which events and features drove the score; takes some seconds.")
    ] = True,
) -> None:
    """Explain the last decisions about a shopper: the event, the scores and what drove them, rule by rule what came of it.

    Reads only the shopper's own partition, from its end backwards. Times are UTC, money is in the shop's currency.

    \b
    Examples:
      intentflow why 718
      intentflow why 718 -n 1 --only emit      why the last coupon, message or list went out
    """
    settings = Settings.load()
    with Log(settings) as log:
        found = Shopper(log, settings, user)
        groups = found.decisions(count, only)
        event_ids = [group[0]["event_id"] for group in groups]
        typer.echo(story.contact(user, found.partition, found.contact()))
        if not groups:
            typer.echo(_none(found, only))
        events, predictions = found.events(event_ids), found.predictions(event_ids)
        interventions = found.interventions([row for group in groups for row in group])
        because = Drivers(settings)
        for event_id, group in zip(reversed(event_ids), reversed(groups), strict=True):
            before = found.before(event_id, BEFORE)
            typer.echo("")
            typer.echo(story.event(group[0], events.get(event_id), predictions.get(event_id), before))
            if drivers and event_id in events:
                task = found.task(group[0])
                score = group[0]["scores"].get(task)
                typer.echo(because.tell(group[0]["release"], task, found.history(event_id, EVENTS), score))
            for row in group:
                if only in (None, row["outcome"]):
                    policy = found.policy(row["policy_version"])
                    sent = interventions.get(row["intervention_id"])
                    typer.echo(story.decision(row, group, policy, sent, found.contact()))


class Shopper:
    """Everything that topics say about one shopper; read backwards, no further than needed."""

    def __init__(self, log: Log, settings: Settings, user: str) -> None:
        self._log, self._settings, self._user = log, settings, user
        self._history: list[Row] = []  # events read, newest first
        self._policies: dict[str, Policy | None] = {}
        self._contact: Row | bool | None = False  # False: not asked yet
        self.partition = log.partition_of(Contents(settings, "decisions").topic, user)

    def decisions(self, count: int, only: str | None) -> list[list[Row]]:
        """The last decisions with this outcome, newest first, each with the others of its event (they lie together)."""
        groups, found = [], 0
        for _, rows in groupby(self._newest("decisions"), key=lambda row: row["event_id"]):
            group = list(rows)[::-1]
            matching = sum(only in (None, row["outcome"]) for row in group)
            if matching:
                groups.append(group)
                found += matching
            if found >= count:
                break
        return groups

    def events(self, ids: list[str]) -> dict[str, Row]:
        """These events by id, as far as the topic still has them; what is read on the way is kept for `before`."""
        wanted, behind = set(ids), 0
        for row in self._newest("behavior-events") if ids else ():
            self._history.append(row)
            wanted.discard(row["event_id"])
            behind += not wanted
            if behind > BEFORE:
                break
        return {row["event_id"]: row for row in reversed(self._history) if row["event_id"] in ids}

    def before(self, event_id: str, count: int) -> list[Row]:
        """The shopper's events before this one in the log, newest first."""
        at = next(
            (at for at, row in enumerate(self._history) if row["event_id"] == event_id), len(self._history)
        )
        return self._history[at + 1 : at + 1 + count]

    def history(self, event_id: str, most: int) -> list[Row]:
        """The shopper's events up to this one in the order of the log, the latest `most` of them."""
        rows = self._newest("behavior-events", BACK)
        until = dropwhile(lambda row: row["event_id"] != event_id, rows)
        return list(islice(until, most))[::-1]

    def task(self, decision: Row) -> str:
        """The score that the decision's campaign looks at; any when that policy is gone."""
        policy = self.policy(decision["policy_version"])
        campaigns = () if policy is None else policy.campaigns
        asked = (one.trigger.score for one in campaigns if one.id == decision["campaign"])
        return next(asked, min(decision["scores"], default="lapse_30d"))

    def predictions(self, event_ids: list[str]) -> dict[str, Row]:
        """Predictions by event id."""
        return self._with("predictions", "event_id", event_ids)

    def interventions(self, decisions: list[Row]) -> dict[str, Row]:
        """The interventions of these decisions by their id."""
        ids = [row["intervention_id"] for row in decisions if row["intervention_id"] is not None]
        return self._with("interventions", "intervention_id", ids)

    def contact(self) -> Row | None:
        """What was sent and what consent was given, as of now."""
        if isinstance(self._contact, bool):
            self._contact = next(iter(self._newest("contacts-changelog")), None)
        return self._contact

    def policy(self, version: str) -> Policy | None:
        """The policy of that version, while the topic still has it."""
        if version not in self._policies:
            row = policies.published(self._log, self._settings, version)
            self._policies[version] = None if row is None else parse(row["document"], f"policy {version}")
        return self._policies[version]

    def last(self, topic: str) -> Row | None:
        """The shopper's newest row of a topic."""
        return next(iter(self._newest(topic)), None)

    def _with(self, topic: str, field: str, wanted: list[str]) -> dict[str, Row]:
        left, found = set(wanted), {}
        for row in self._newest(topic) if left else ():
            if row[field] in left:
                found[row[field]] = row
                left.discard(row[field])
                if not left:
                    break
        return found

    def _newest(self, topic: str, back: int | None = None) -> Iterable[Row]:
        contents = Contents(self._settings, topic)
        for record in self._log.newest(contents.topic, self.partition, self._user.encode(), back):
            (content,) = contents.decode([record])
            if content.row is not None:
                yield content.row


def _none(shopper: Shopper, only: str | None) -> str:
    if only is not None and shopper.decisions(1, None):
        return f"No decision with outcome {only}; leave --only out to see the others."
    event = shopper.last("behavior-events")
    if event is None:
        return "No events and no decisions: is that the user_id as the events have it?"
    prediction = shopper.last("predictions")
    scores = (
        "not scored yet: see `intentflow status`"
        if prediction is None
        else story.scores(prediction["scores"])
    )
    return (
        f"No decision yet: no campaign's trigger was met. Last event: {story.event_words(event)}\n"
        f"  predicted: {scores}"
    )
