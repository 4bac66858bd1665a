"""Avro schemas as data: the files of this folder, and a resolved form that codec and compatibility check share.

The resolved form of a schema is a tree of `Node`s: named types appear as the node that defines them,
wherever they
are used, so that a recursive type is a cycle.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.avsc")))


class SchemaError(ValueError):
    """A text that is not a valid Avro schema."""


@dataclass(eq=False)
class Node:
    """One type. `kind` is a primitive, record, enum, fixed, array, map or union; the rest as the kind asks."""

    kind: str
    name: str = ""
    logical: str | None = None
    aliases: tuple[str, ...] = ()
    fields: tuple["RecordField", ...] = ()
    symbols: tuple[str, ...] = ()
    default_symbol: str | None = None
    size: int = 0
    items: "Node | None" = None
    branches: tuple["Node", ...] = ()

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def item(self) -> "Node":
        """Type of an array's items or a map's values."""
        assert self.items is not None
        return self.items


@dataclass(frozen=True)
class RecordField:
    """A field of a record; `default` counts only when `has_default`."""

    name: str
    type: Node
    has_default: bool = False
    default: Any = None
    aliases: tuple[str, ...] = ()


@cache
def current(name: str) -> str:
    """Text of schemas/<name>.avsc. Raises SchemaError for a name that has no file."""
    try:
        return (FOLDER / f"{name}.avsc").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SchemaError(f"there is no schema {name!r}; there are {', '.join(NAMES)}") from None


def parse(text: str) -> Node:
    """Resolve an Avro schema given as JSON. Raises SchemaError that names the place."""
    try:
        return _Parser().node(json.loads(text), "", "schema")
    except json.JSONDecodeError as problem:
        raise SchemaError(f"the schema is not JSON: {problem}") from None
    except (KeyError, TypeError, AttributeError) as problem:
        raise SchemaError(f"not a valid Avro schema: {type(problem).__name__} {problem}") from None


@dataclass
class _Parser:
    named: dict[str, Node] = field(default_factory=dict)

    def node(self, raw: Any, namespace: str, where: str) -> Node:  # noqa: PLR0911 - one return per kind
        if isinstance(raw, list):
            return Node("union", branches=tuple(self.node(branch, namespace, where) for branch in raw))
        if isinstance(raw, str):
            if raw in PRIMITIVES:
                return Node(raw)
            full = raw if "." in raw or not namespace else f"{namespace}.{raw}"
            if full not in self.named:
                raise SchemaError(f"{where}: unknown type {raw!r}")
            return self.named[full]
        kind = raw["type"]
        if not isinstance(kind, str) or (kind not in PRIMITIVES and kind not in _COMPLEX):
            return self.node(kind, namespace, where)  # {"type": {...}} or {"type": "SomeName"}
        if kind in PRIMITIVES:
            return Node(kind, logical=raw.get("logicalType"))
        if kind == "array":
            return Node(kind, items=self.node(raw["items"], namespace, f"{where}[]"))
        if kind == "map":
            return Node(kind, items=self.node(raw["values"], namespace, f"{where}{{}}"))
        return self.named_type(kind, raw, namespace, where)

    def named_type(self, kind: str, raw: dict[str, Any], namespace: str, where: str) -> Node:
        name = raw["name"]
        namespace = name.rpartition(".")[0] or raw.get("namespace", namespace)
        full = f"{namespace}.{name.rpartition('.')[2]}" if namespace else name
        if full in self.named:
            raise SchemaError(f"{where}: the type {full} is defined twice")
        node = self.named[full] = Node(
            kind, name=full, logical=raw.get("logicalType"), aliases=tuple(raw.get("aliases", ()))
        )
        if kind == "enum":
            node.symbols, node.default_symbol = tuple(raw["symbols"]), raw.get("default")
        elif kind == "fixed":
            node.size = int(raw["size"])
        else:
            node.fields = tuple(
                RecordField(
                    name=f["name"],
                    type=self.node(f["type"], namespace, f"{where}.{f['name']}"),
                    has_default="default" in f,
                    default=f.get("default"),
                    aliases=tuple(f.get("aliases", ())),
                )
                for f in raw["fields"]
            )
        return node


_COMPLEX = frozenset({"record", "enum", "fixed", "array", "map"})


def canonical(node: Node, *, logical: frozenset[str] = frozenset()) -> Any:
    """The schema as JSON data without docs, aliases, defaults, other attributes, logical types but `logical`."""
    seen: set[str] = set()

    def of(node: Node) -> Any:  # noqa: PLR0911 - one return per kind
        if node.kind == "union":
            return [of(branch) for branch in node.branches]
        if node.kind == "array":
            return {"type": "array", "items": of(node.item)}
        if node.kind == "map":
            return {"type": "map", "values": of(node.item)}
        if node.kind in PRIMITIVES:
            return {"type": node.kind, "logicalType": node.logical} if node.logical in logical else node.kind
        if node.name in seen:
            return node.name
        seen.add(node.name)
        if node.kind == "enum":
            return {"type": "enum", "name": node.name, "symbols": list(node.symbols)}
        if node.kind == "fixed":
            return {"type": "fixed", "name": node.name, "size": node.size}
        fields = [{"name": f.name, "type": of(f.type)} for f in node.fields]
        return {"type": "record", "name": node.name, "fields": fields}

    return of(node)


def without_logical_types(raw: Any) -> Any:
    """A copy of schema JSON whose values are the plain ones: a timestamp is a number of milliseconds."""
    if isinstance(raw, dict):
        return {key: without_logical_types(value) for key, value in raw.items() if key != "logicalType"}
    return [without_logical_types(value) for value in raw] if isinstance(raw, list) else raw
