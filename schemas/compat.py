"""May a schema change? Checks every recorded version of each schema against the current file.

`python -m schemas.compat` exits 1 when a current schema cannot read what any earlier version wrote
(backward-transitive), or when it was changed and not recorded; `--record` keeps a compatible change as a new version
with a new fixed id. `problems` is also what the codec asks before it reads a foreign writer's records.

The rules are those of the Avro specification for schema resolution, and one more: a logical type may come
or go, but not become another one, because milliseconds read as microseconds resolve and are wrong.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from schemas import avro, registry
from schemas.avro import Node, RecordField

PROMOTES = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def problems(reader: Node, writer: Node, *, of_all: bool = True) -> list[str]:
    """Why `reader` cannot read all that `writer` may have written; empty when it can.

    of_all False: only what keeps every record from being read. A null or an enum symbol that the reader does not
    know is then the matter of the record that has it.
    """
    return list(_Resolution(of_all).between(reader, writer, reader.short_name or reader.kind))


class _Resolution:
    """One walk over two schemas; remembers the pairs it is in, since a schema may contain itself."""

    def __init__(self, of_all: bool, met: Iterable[tuple[int, int]] = ()) -> None:
        self._of_all = of_all
        self._met = set(met)

    def between(self, reader: Node, writer: Node, where: str) -> Iterator[str]:
        if (id(reader), id(writer)) in self._met:
            return
        self._met.add((id(reader), id(writer)))
        if writer.kind == "union":
            if not self._of_all and any(self._fits(reader, branch, where) for branch in writer.branches):
                return
            for branch in writer.branches:
                yield from self.between(reader, branch, where)
        elif reader.kind == "union":
            if not any(self._fits(branch, writer, where) for branch in reader.branches):
                kinds = ", ".join(_title(branch) for branch in reader.branches)
                yield f"{where}: was {_title(writer)}, which is none of {kinds}"
        elif reader.kind != writer.kind:
            if reader.kind not in PROMOTES.get(writer.kind, set()):
                yield f"{where}: type changed from {_title(writer)} to {_title(reader)}"
        else:
            yield from self._same_kind(reader, writer, where)
        if reader.logical and writer.logical and reader.logical != writer.logical:
            yield f"{where}: logical type changed from {writer.logical} to {reader.logical}"

    def _fits(self, reader: Node, writer: Node, where: str) -> bool:
        # A walk of its own: what a failing branch met must not count as met for the next.
        return not any(_Resolution(self._of_all, self._met).between(reader, writer, where))

    def _same_kind(self, reader: Node, writer: Node, where: str) -> Iterator[str]:
        if reader.kind in ("array", "map"):
            yield from self.between(reader.item, writer.item, f"{where}[]")
        if reader.kind not in ("record", "enum", "fixed"):
            return
        if reader.short_name != writer.short_name and not _renamed(reader, writer):
            yield f"{where}: name changed from {writer.name} to {reader.name}; mend: keep it, or use `aliases`"
            return
        if reader.kind == "fixed" and reader.size != writer.size:
            yield f"{where}: size changed from {writer.size} to {reader.size} bytes"
        if reader.kind == "enum" and reader.default_symbol is None and self._of_all:
            gone = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
            if gone:
                what = f"enum symbol {', '.join(gone)} removed without an enum default"
                yield f"{where}: {what}; mend: keep it, or give the enum a `default`"
        if reader.kind == "record":
            for field in reader.fields:
                yield from self._field(field, writer, f"{where}.{field.name}")

    def _field(self, field: RecordField, writer: Node, where: str) -> Iterator[str]:
        written = written_field(field, writer)
        if written is not None:
            yield from self.between(field.type, written.type, where)
        elif not field.has_default:
            yield f"{where}: new field without default; mend: give it a `default`"


def written_field(field: RecordField, writer: Node) -> RecordField | None:
    """The field of the writer's record that fills a reader's field: by name, else by one of its aliases."""
    by_name = {written.name: written for written in writer.fields}
    return next((by_name[name] for name in (field.name, *field.aliases) if name in by_name), None)


def _renamed(reader: Node, writer: Node) -> bool:
    return any(alias in (writer.name, writer.short_name) for alias in reader.aliases)


def _title(node: Node) -> str:
    return node.name or (
        " | ".join(_title(branch) for branch in node.branches) if node.kind == "union" else node.kind
    )


def faults(node: Node, where: str = "", _seen: set[int] | None = None) -> Iterator[str]:
    """What is wrong with one schema by itself: defaults that are no value of their type, doubled names."""
    seen = _seen if _seen is not None else set()
    if id(node) in seen:
        return
    seen.add(id(node))
    where = where or node.short_name or node.kind
    for children in (node.branches, (node.items,) if node.items else ()):
        for child in children:
            yield from faults(child, where, seen)
    if node.kind == "enum" and node.default_symbol is not None and node.default_symbol not in node.symbols:
        yield f"{where}: enum default {node.default_symbol!r} is not one of {', '.join(node.symbols)}"
    for names, what in (([f.name for f in node.fields], "field"), (node.symbols, "symbol")):
        for name in sorted({name for name in names if list(names).count(name) > 1}):
            yield f"{where}: {what} {name} is there twice"
    for field in node.fields:
        if field.has_default and not is_default(field.type, field.default):
            default = json.dumps(field.default)
            yield f"{where}.{field.name}: default {default} is no value of {_title(field.type)}"
        yield from faults(field.type, f"{where}.{field.name}", seen)


def is_default(node: Node, value: Any) -> bool:  # noqa: PLR0911 - one return per kind
    """True when a JSON value may stand as the default of a type (of a union: of its first branch)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match node.kind:
        case "union":
            return bool(node.branches) and is_default(node.branches[0], value)
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            bits = 31 if node.kind == "int" else 63
            return isinstance(value, int) and number and -(2**bits) <= value < 2**bits
        case "float" | "double":
            return number and math.isfinite(value)
        case "string" | "bytes":
            return isinstance(value, str)
        case "fixed":
            return isinstance(value, str) and len(value) == node.size
        case "enum":
            return value in node.symbols
        case "array":
            return isinstance(value, list) and all(is_default(node.item, one) for one in value)
        case "map":
            return isinstance(value, dict) and all(is_default(node.item, one) for one in value.values())
    return isinstance(value, dict) and all(
        is_default(f.type, value[f.name]) if f.name in value else f.has_default for f in node.fields
    )


def check(name: str, current: str, history: list[str]) -> list[str]:
    """Lines on what is wrong with the current text of a schema, given its earlier versions, oldest first."""
    try:
        reader = avro.parse(current)
    except avro.SchemaError as problem:
        return [f"{name}: {problem}"]
    found = [f"{name}: {fault}" for fault in faults(reader)]
    for version, text in enumerate(history, start=1):
        found += [
            f"{name}: cannot read version {version}: {problem}"
            for problem in problems(reader, avro.parse(text))
        ]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line: check all schemas, or record compatible changes. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas.compat", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--record", action="store_true", help="keep each compatible change as a new version with a new id"
    )
    record = parser.parse_args(arguments).record
    ids = {name: list(known) for name, known in registry.recorded_ids().items()}
    bad, fresh = [], []
    for name in avro.NAMES:
        history = [
            registry.snapshot(name, n + 1).read_text(encoding="utf-8") for n in range(len(ids.get(name, [])))
        ]
        bad += check(name, avro.current(name), history)
        if not history or not registry.same_schema(history[-1], avro.current(name)):
            fresh.append(name)
    bad += [
        f"{name}: is in schemas/ids.json and has no schemas/{name}.avsc"
        for name in ids
        if name not in avro.NAMES
    ]
    if not record:
        bad += [
            f"{name}: changed and not recorded; mend: `python -m schemas.compat --record`" for name in fresh
        ]
    elif not bad:
        for name in fresh:
            _record(name, ids)
    for line in bad:
        print(line, file=sys.stderr)
    print(
        f"{len(avro.NAMES)} schemas checked against {sum(map(len, ids.values()))} recorded versions: "
        f"{len(bad)} problems"
    )
    return 1 if bad else 0


def _record(name: str, ids: dict[str, list[int]]) -> None:
    """Write the snapshot first, then the id: ids.json never names a version that is not there."""
    id = 1 + max((one for known in ids.values() for one in known), default=0)
    ids.setdefault(name, []).append(id)
    file = registry.snapshot(name, len(ids[name]))
    file.parent.mkdir(exist_ok=True)
    file.write_text(avro.current(name), encoding="utf-8")
    lines = (f"  {json.dumps(key)}: {json.dumps(known)}" for key, known in ids.items())
    registry.IDS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"recorded {file.name} with id {id}")


if __name__ == "__main__":
    sys.exit(main())
