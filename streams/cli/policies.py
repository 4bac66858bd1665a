"""The topic `policies` for the command line: what is published, and publishing."""

from __future__ import annotations

import re
import time
from typing import Any

import typer
import yaml

from schemas.kafka import written
from schemas.settings import Settings
from schemas.topics import TopicProblem
from streams.cli.contents import Contents, text
from streams.cli.log import Log
from streams.learning.state import Learnt
from streams.policy import Policy
from streams.policy_document import PolicyProblem, parse

TIMEOUT_S = 30.0
TOPIC = "policies"


def published(log: Log, settings: Settings, version: str | None = None) -> dict[str, Any] | None:
    """The row in force of the policy that workers follow, or the latest publication of a version."""
    if version is not None:
        return next((row for row in history(log, settings) if row["version"] == version), None)
    contents = Contents(settings, TOPIC)
    for record in log.newest(contents.topic, 0, settings.policy_name.encode()):
        (content,) = contents.decode([record])
        return content.row
    return None


def history(log: Log, settings: Settings) -> list[dict[str, Any]]:
    """Rows of all publications of the policy that workers follow, newest first; the first is in force.

    The topic is compacted: each publication is kept under a key of its own, name@time, that workers do not read.
    """
    contents, name = Contents(settings, TOPIC), settings.policy_name.encode()
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for record in log.newest(contents.topic, 0):
        if record.key is not None and record.key.partition(b"@")[0] == name:
            (content,) = contents.decode([record])
            if content.row is not None:
                found.setdefault((content.row["published_at"], content.row["version"]), content.row)
    return sorted(found.values(), key=lambda row: -row["published_at"])


def learnt(log: Log, settings: Settings) -> dict[str, Learnt]:
    """What was learnt of the arms of campaigns of the policy that workers follow, as it was published last.

    A record that cannot be used is named on stderr and left out, as workers do.
    """
    contents, found, seen = Contents(settings, "bandits"), dict[str, Learnt](), set[bytes | None]()
    for record in log.newest(contents.topic, 0):
        if record.key in seen:
            continue
        seen.add(record.key)
        (content,) = contents.decode([record])
        policy, _, campaign = text(record.key).partition("/")
        if record.value is None or policy != settings.policy_name:
            continue
        try:
            if content.row is None:
                raise ValueError(content.problem)
            found[campaign] = Learnt.of(content.row)
        except ValueError as problem:
            typer.echo(f"mind: what was learnt of {campaign} is not used: {problem}", err=True)
    return found


def publish(settings: Settings, document: str) -> Policy:
    """Write a document, already checked, to the topic; returns once the brokers have it. Raises TopicProblem."""
    policy, now = parse(document, "document"), time.time_ns() // 1_000_000
    contents = Contents(settings, TOPIC)
    (value,) = contents.codec.encode_rows([policy.row(now, document)])
    records: dict[bytes, bytes | None] = {f"{policy.name}@{now}".encode(): value, policy.name.encode(): value}
    why = written(settings, contents.topic, records, TIMEOUT_S, log_level=0)
    if why:
        raise TopicProblem(
            f"{contents.topic}: the policy was not written ({why}); see `intentflow topics check`"
        )
    return policy


def switched(document: str, killed: bool) -> str:
    """The document with its kill_switch set, the rest as the marketer wrote it, comments included."""
    wanted = parse(document, "published policy").model_copy(update={"kill_switch": killed})
    word = str(killed).lower()
    text, found = re.subn(
        r"^kill_switch:[ \t]*\S+", f"kill_switch: {word}", document, count=1, flags=re.MULTILINE
    )
    if not found:
        text = f"{document.rstrip()}\nkill_switch: {word}\n"
    return _saying(text, wanted)


def enabled(document: str, campaign: str, on: bool) -> str:
    """The document with the campaign's `enabled` set, the rest as the marketer wrote it. Raises PolicyProblem for no such."""
    policy = parse(document, "published policy")
    names = [one.id for one in policy.campaigns]
    if campaign not in names:
        raise PolicyProblem(f"the policy in force has no campaign {campaign!r}; it has {', '.join(names)}")
    campaigns = [
        one.model_copy(update={"enabled": on}) if one.id == campaign else one for one in policy.campaigns
    ]
    tree = yaml.compose(document, Loader=yaml.SafeLoader)
    fields = next(
        {key.value: (key, value) for key, value in node.value}
        for node in _entry(tree, "campaigns").value
        if _entry(node, "id").value == campaign
    )
    if "enabled" in fields:
        _, value = fields["enabled"]
        text = document[: value.start_mark.index] + str(on).lower() + document[value.end_mark.index :]
    else:
        key, value = fields["id"]
        added = f"\n{' ' * key.start_mark.column}enabled: {str(on).lower()}"
        text = document[: value.end_mark.index] + added + document[value.end_mark.index :]
    return _saying(text, policy.model_copy(update={"campaigns": campaigns}))


def _entry(node: Any, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)


def _saying(text: str, wanted: Policy) -> str:
    """The text when it says what is wanted, else that written anew."""
    try:
        if parse(text, "switched policy") == wanted:
            return text
    except PolicyProblem:
        pass  # written in some other way, such as {…} on one line
    return wanted.to_yaml()
