"""A batch that raised is taken apart until the record that does it stands alone.

Only records that the first attempt named are handled this way: pieces are halved, each piece can be undone and is
committed by itself, so that one poisoned record costs no other its prediction.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from streams.rows import RowsTooSmall
from streams.shoppers import Work
from streams.store import StoreProblem

log = logging.getLogger("intentflow.careful")
NOT_THE_RECORDS = (StoreProblem, RowsTooSmall, OSError, MemoryError)
SUSPECTS = 1000  # ranges that are remembered
IN_A_ROW = 64  # records that raise one after another: then it is not the records


class Suspect(RuntimeError):
    """The pass raised over these records; its cause says why. State in memory is lost: open the partition again."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"the pass over offsets {first} to {last} raised")
        self.first, self.last = first, last


class Careful:
    """Which records of a partition are suspected, and how they are taken through the pass."""

    def __init__(self) -> None:
        self._suspects: list[Suspect] = []
        self._in_a_row = 0

    def expect(self, suspect: Suspect) -> None:
        """Handle these records with care when they come again, in this redo and in later ones."""
        self._suspects = [*self._suspects[-SUSPECTS:], suspect]

    def wanted(self, records: list[Any]) -> bool:
        """Whether there is a suspected record among them."""
        if not records or not self._suspects:
            return False
        first, last = records[0].offset, records[-1].offset
        return any(first <= suspect.last and last >= suspect.first for suspect in self._suspects)

    async def process(
        self,
        records: list[Any],
        attempt: Callable[[list[Any]], Awaitable[Work]],
        poisoned: Callable[[Any, Exception], Awaitable[Work]],
        settle: Callable[[Work], Awaitable[None]],
    ) -> None:
        """All of the records, in their order.

        attempt: the pass over a piece, which can be undone; poisoned: what stands for a record that raises; settle:
        commits what either gave. Raises the pass's error when it is not the records, or when everything raises.
        """
        pieces = [records]
        while pieces:
            piece = pieces.pop()
            try:
                done = await attempt(piece)
                self._in_a_row = 0
            except NOT_THE_RECORDS:
                raise
            except Exception as fault:
                if len(piece) > 1:
                    half = len(piece) // 2
                    pieces += [piece[half:], piece[:half]]
                    continue
                self._in_a_row += 1
                if self._in_a_row >= IN_A_ROW:
                    raise
                log.error("record at offset %d raises, it goes to dead-letters: %r", piece[0].offset, fault)
                done = await poisoned(piece[0], fault)
            await settle(done)
