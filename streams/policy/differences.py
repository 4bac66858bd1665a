"""What two policies say differently: campaign by campaign and field by field, not line by line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams.policy.policy import Policy

_NAMED = {"campaigns": "id", "arms": "name"}  # lists whose entries have a name of their own
_NOTHING = object()


def differences(before: Policy, after: Policy) -> list[str]:
    """A line for each field that changes, "path: before -> after"; empty when both say the same.

    Defaults count as written, order of campaigns and of keys and comments do not count. What is added or removed as a
    whole is one line.
    """
    return list(_between(before.written(), after.written(), ""))


def _between(before: Any, after: Any, path: str) -> Iterator[str]:
    if before == after:
        return
    if before is _NOTHING:
        yield f"{path}: added: {_words(after)}"
    elif after is _NOTHING:
        yield f"{path}: removed, was: {_words(before)}"
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            place = f"{path}.{key}".lstrip(".")
            yield from _parts(before.get(key, _NOTHING), after.get(key, _NOTHING), place, _NAMED.get(key))
    else:
        yield f"{path}: {_words(before)} -> {_words(after)}"


def _parts(before: Any, after: Any, path: str, name: str | None) -> Iterator[str]:
    """name: the key by which entries of these lists are known, None where it is their place."""
    if not (_of_sections(before) and _of_sections(after)):
        yield from _between(before, after, path)
        return
    old, new = (
        {str(one[name]) if name else f"[{at}]": one for at, one in enumerate(entries)}
        for entries in (before, after)
    )
    for key in dict.fromkeys([*old, *new]):
        place = f"{path}.{key}" if name else f"{path}{key}"
        yield from _between(old.get(key, _NOTHING), new.get(key, _NOTHING), place)


def _of_sections(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        named = [f"{key} {_words(one)}" for key, one in value.items() if one not in (None, [], {})]
        return "{" + ", ".join(named) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_words, value)) + "]"
    return (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else ("none" if value is None else str(value))
    )
