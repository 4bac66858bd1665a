"""A batch that raises: the record that does it goes to dead-letters, every other is scored once, rows are right."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.careful import IN_A_ROW, NOT_THE_RECORDS, Careful, Suspect
from streams.shoppers import Work
from streams.store import StoreDamaged
from tests.streams.live import CODECS, Partition, event, records, release

LOG = [event(at % 7, at) for at in range(60)]
POISON = 1234.5


class Raising:
    """An engine that cannot bear events of one price."""

    def __init__(self, engine: Any, fault: Exception, bad: set[float]) -> None:
        self._engine, self._fault, self._bad = engine, fault, bad

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, ids: Any, dense: Any, hidden: Any) -> Any:
        if np.isin(np.round(np.expm1(dense[:, 0] * 5.0), 1), list(self._bad)).any():
            raise self._fault
        return self._engine.step(ids, dense, hidden)


def partition(folder: Path, fault: Exception, bad: set[float] | None = None) -> Partition:
    made = Partition(folder / "db", release(folder / "releases"))
    made.shoppers.sequences.use(Raising(made.model.engine, fault, bad or {POISON}))
    return made


def poisoned(at: int) -> list[dict[str, Any]]:
    return [*LOG[:at], {**LOG[at], "price": POISON}, *LOG[at + 1 :]]


def carefully(made: Partition, rows: list[dict[str, Any]]) -> None:
    async def attempt(piece: list[Any]) -> Work:
        return made.passing.process([(made.shoppers, piece)], True)[0]

    async def poisoned(record: Any, fault: Exception) -> Work:
        return made.shoppers.poisoned(record, fault)

    async def settle(work: Work) -> None:
        made.finish(work)

    careful = Careful()
    careful.expect(Suspect(0, len(rows) - 1))
    asyncio.run(careful.process(records(rows), attempt, poisoned, settle))


def letters(made: Partition) -> list[dict[str, Any]]:
    values = [value for name, value in made.published if name == "dead_letter"]
    return CODECS.dead_letter.decode_rows(values)


@pytest.mark.parametrize("at", [0, 29, 59])
def test_only_the_poisoned_record_is_left_out(at: int, tmp_path: Path) -> None:
    made = partition(tmp_path / "one", ValueError("no such price"))
    carefully(made, poisoned(at))
    (letter,) = letters(made)
    assert (letter["offset"], letter["reason"], letter["message"]) == (
        at,
        "poisoned",
        "ValueError: no such price",
    )
    scored = [row["event_id"] for row in made.predictions()]
    assert sorted(scored) == sorted(row["event_id"] for place, row in enumerate(LOG) if place != at)
    untouched = Partition(tmp_path / "other" / "db", release(tmp_path / "other" / "releases"))
    for place, record in enumerate(records(LOG)):
        if place != at:
            untouched.process([record])
    for user in range(7):
        one, other = made.row(user), untouched.row(user)
        assert one["ring"].tobytes() == other["ring"].tobytes()
        np.testing.assert_allclose(one["hidden"], other["hidden"], atol=1e-5)


def test_a_pass_that_can_be_undone_leaves_rows_and_contacts_as_they_were(tmp_path: Path) -> None:
    made = partition(tmp_path, ValueError("price"))
    made.process(records(LOG[:20]))
    before = [made.row(user).tobytes() for user in range(7)]
    with pytest.raises(ValueError, match="price"):
        made.passing.process(
            [(made.shoppers, records([*LOG[20:40], {**LOG[41], "price": POISON}], 20))], True
        )
    assert [made.row(user).tobytes() for user in range(7)] == before
    assert made.shoppers.contacts.changes() == []


@pytest.mark.parametrize("fault", [StoreDamaged("bad block"), OSError("no space"), MemoryError()])
def test_what_is_not_the_records_fault_is_not_blamed_on_them(fault: Exception, tmp_path: Path) -> None:
    made = partition(tmp_path, fault)
    with pytest.raises(NOT_THE_RECORDS):
        carefully(made, poisoned(5))
    assert letters(made) == []


def test_when_everything_raises_it_is_not_the_records(tmp_path: Path) -> None:
    rows = [{**event(at % 7, at), "price": POISON} for at in range(IN_A_ROW + 20)]
    made = partition(tmp_path, ValueError("bug"))
    with pytest.raises(ValueError, match="bug"):
        carefully(made, rows)
    assert len(letters(made)) < IN_A_ROW


def test_records_of_two_suspicions_stay_suspected() -> None:
    careful = Careful()
    careful.expect(Suspect(10, 19))
    careful.expect(Suspect(40, 49))
    batches = [records(LOG[at : at + 5], at) for at in (0, 15, 25, 45, 50)]
    assert [careful.wanted(batch) for batch in batches] == [False, True, False, True, False]
