"""The topic `policies` for the command line: what is published, and publishing."""

from __future__ import annotations

import re
import time
from typing import Any

from schemas.kafka import written
from schemas.settings import Settings
from schemas.topics import TopicProblem
from streams.cli.contents import Contents
from streams.cli.log import Log
from streams.policy import Policy
from streams.policy_document import PolicyProblem, parse

TIMEOUT_S = 30.0
TOPIC = "policies"


def published(log: Log, settings: Settings, version: str | None = None) -> dict[str, Any] | None:
    """The row in force of the policy that workers follow, or that of a version while the topic still has it."""
    contents = Contents(settings, TOPIC)
    for record in log.newest(contents.topic, 0, settings.policy_name.encode()):
        (content,) = contents.decode([record])
        if version is None or (content.row is not None and content.row["version"] == version):
            return content.row
    return None


def publish(settings: Settings, document: str) -> Policy:
    """Write a document, already checked, to the topic; returns once the brokers have it. Raises TopicProblem."""
    policy = parse(document, "document")
    contents = Contents(settings, TOPIC)
    (value,) = contents.codec.encode_rows([policy.row(time.time_ns() // 1_000_000, document)])
    why = written(settings, contents.topic, {policy.name.encode(): value}, TIMEOUT_S, log_level=0)
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
    try:
        if parse(text, "switched policy") == wanted:
            return text
    except PolicyProblem:
        pass  # written in some other way, such as {…} on one line
    return wanted.to_yaml()
