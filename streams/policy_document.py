"""The text of a policy: YAML read and checked, every fault told with its line, field, value and mend.

`intentflow policy check` and `publish` come through here, and so does the worker with what it finds on the topic
`policies`; a worker that is given a bad document keeps the policy it has.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streams.policy import KINDS, Policy, Where, unknown_scores


class PolicyProblem(ValueError):
    """A policy that is not in order. One line per fault: file, line, field path, value, mend."""


def load(path: str | Path, tasks: Sequence[str] | None = None) -> Policy:
    """Read and check a policy file; with `tasks` (a release's) its scores too. Raises PolicyProblem."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise PolicyProblem(
            f"{path}: cannot be read ({problem}); give the path of a policy in UTF-8 YAML"
        ) from None
    return parse(text, str(path), tasks)


def parse(text: str, source: str, tasks: Sequence[str] | None = None) -> Policy:
    """Check the text of a policy; `source` names it in messages. Raises PolicyProblem with every fault."""
    try:
        aliased = any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)
        )
        tree, document = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (
        Exception
    ) as problem:  # beside YAMLError also ValueError for 2017-13-45, KeyError for !!bool maybe, ...
        raise PolicyProblem(f"{source}: not YAML: {' '.join(str(problem).split())}") from None
    if aliased:
        raise PolicyProblem(f"{source}: has a YAML alias (*name); write the part out where it is used")
    if not isinstance(document, dict):
        raise PolicyProblem(
            f"{source}: holds no policy; it must have the keys {', '.join(Policy.model_fields)}"
        )
    faults = list(_doubles(tree, ()))
    if not faults:
        try:
            policy = Policy.model_validate(document)
            faults = list(unknown_scores(policy, tasks)) if tasks is not None else []
        except ValidationError as problem:
            faults = [_fault(error) for error in problem.errors()]
    if faults:
        lines = (f"{source}: line {_line(tree, path)}: {_name(path)}: {message}" for path, message in faults)
        raise PolicyProblem("\n".join(lines))
    return policy


def json_schema() -> str:
    """JSON Schema of a policy's YAML, for editors; deploy/policy.schema.json is this text."""
    return json.dumps(Policy.model_json_schema(), indent=1) + "\n"


def _fault(error: Any) -> tuple[Where, str]:
    path: Where = error["loc"]
    if path[0] == "campaigns" and path[2:3] and path[2] in KINDS:  # pydantic puts the chosen kind in between
        path = path[:2] + path[3:]
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return path, "is missing; add it"
    if kind == "extra_forbidden":
        return path, "unknown key; correct its spelling or remove it"
    if kind.startswith("union_tag"):
        return (*path, "kind"), f"want one of {', '.join(KINDS)}"
    if kind == "value_error":
        return path, message
    mend = message[0].lower() + message[1:]
    return path, f"{error['input']!r}: {mend}" if not isinstance(error["input"], dict) else mend


def _doubles(node: yaml.Node | None, path: Where) -> Iterator[tuple[Where, str]]:
    children = _children(node)
    keys = [key for key, _, _ in children]
    for key, child, _ in children:
        if keys.count(key) > 1:
            yield (*path, key), "is written twice; keep one"
            return
        yield from _doubles(child, (*path, key))


def _children(node: yaml.Node | None) -> list[tuple[int | str, yaml.Node, int]]:
    """(key or index, value, line from 1) of each entry."""
    if isinstance(node, yaml.MappingNode):
        return [(str(key.value), child, key.start_mark.line + 1) for key, child in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(at, child, child.start_mark.line + 1) for at, child in enumerate(node.value)]
    return []


def _line(node: yaml.Node | None, path: Where) -> int:
    """Line, from 1, of the deepest part of the path that is written in the document."""
    line = 1
    for part in path:
        found = [(child, at) for key, child, at in _children(node) if key == part]
        if not found:
            break
        node, line = found[0]
    return line


def _name(path: Where) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".") or "document"
