"""What waits for time to pass: a timer wheel per partition, part of the state beside the contacts.

Two things wait. A campaign with `idle_minutes` waits for a shopper to do nothing (any event that the shopper raises
cancels it); a message that is not to go out yet waits for its hour. `decide` arms, cancels and rings them in the order
of the log, by the watermark: the newest event time of the partition less the lateness that is allowed for. Live, an idle
partition's clock on the wall goes on where its events end (see `Shoppers.idle`). After a restart the watermark is that of
the last checkpoint, and redo brings it to where it was.

Timers of a shopper are one record, under a key of their own in contacts-changelog and in the store, so that they commit
with the decisions that arm and end them. In memory they are all there, some 700 bytes each.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.interventions import Moment
from streams.learning.dealing import Drawn

PREFIX = b"\x00timers\x00"  # no user_id starts with a zero byte: decode refuses control characters
# Raised about a shopper, not by one: they do not end a pause.
NOT_ACTIVITY = frozenset({"impression", "intervention_exposed", "consent", "erasure"})
Paid = tuple[str, float]  # day, money
_KEPT = (
    "event_id",
    "prediction_id",
    "event_type",
    "event_time",
    "scores",
    "top_scores",
    "category_id",
    "device",
    "events",
    "sessions",
    "purchased",
    "latest",
    "first",
)


@dataclass(frozen=True, slots=True)
class Timer:
    """One thing to look at again at `due`, ms of event time.

    moment: of the event that armed it. sent: the intervention whose place among the contacts it holds, when it is a
    message that waits; None: it waits for the shopper to stay away. paid: by which day's budget, and how much. drawn: the
    arm that it waits in, where arms are learnt: what is learnt meanwhile does not change it.
    """

    due: int
    campaign: str
    kind: str
    release: str
    moment: Moment
    sent: str | None = None
    paid: Paid | None = None
    drawn: Drawn | None = None

    @property
    def name(self) -> str:
        """What a newer one replaces: a pause per campaign, a message each."""
        return self.campaign if self.sent is None else self.sent

    def knowing(self, purchased: int) -> Timer:
        """The same after a purchase, ms."""
        return replace(self, moment=replace(self.moment, purchased=max(purchased, self.moment.purchased)))

    def ripe(self) -> Moment:
        """The moment in which it is decided: a pause is over at `due`, a message has its event's time."""
        moment = replace(self.moment, at=self.due)
        return moment if self.sent else replace(moment, event_time=self.due)


class Timers:
    """The timers of one partition. `stored`: key and value of each record that the store has of them.

    lateness: ms that the watermark stays behind the newest event; watermark: as the last checkpoint has it, ms.
    """

    def __init__(
        self, stored: Iterable[tuple[bytes, bytes]] = (), lateness: int = 0, watermark: int = 0
    ) -> None:
        self._by_user: dict[str, tuple[Timer, ...]] = {}
        self._wheel: list[tuple[int, str]] = []  # (due, user); stale entries are skipped when they come up
        self._before: dict[str, tuple[Timer, ...]] = {}  # of this batch's users, as they were
        self.lateness, self.watermark = lateness, watermark
        self._settled = watermark  # at the end of the batch before
        self._counts: Counter[str] = Counter()
        for key, value in stored:
            user = key.removeprefix(PREFIX).decode()
            self._put(user, _decoded(user, value))

    def __len__(self) -> int:
        return sum(map(len, self._by_user.values()))

    @property
    def users(self) -> KeysView[str]:
        """Shoppers for whom one runs."""
        return self._by_user.keys()

    def __bool__(self) -> bool:
        return bool(self._by_user)

    def come_to(self, time: int) -> None:
        """The newest event has this time, ms, or a clock where none comes."""
        self.watermark = max(self.watermark, time - self.lateness)

    def of(self, user: str) -> tuple[Timer, ...]:
        """The shopper's timers, the first due first."""
        return self._by_user.get(user, ())

    def arm(self, timer: Timer) -> None:
        """Set it, in the place of one of its name."""
        user = timer.moment.user_id
        self._counts["armed"] += 1
        self._change(user, [*(one for one in self.of(user) if one.name != timer.name), timer])

    def forget(self, user: str) -> None:
        """Erase the shopper's timers."""
        if user in self._by_user:
            self._change(user, [])

    def drop(self, user: str, waiting: tuple[Timer, ...], raised: int) -> None:
        """So many that rang raised: the shopper's others, `waiting`, are as they were before."""
        self._counts["raised"] += raised
        self._change(user, waiting)

    def hear(self, user: str, event_type: str, time: int) -> None:
        """The shopper raised an event, ms: pauses end, a message knows of a purchase."""
        if event_type in NOT_ACTIVITY:
            return
        timers = self.of(user)
        kept = [one for one in timers if one.sent is not None or time < one.moment.event_time]
        self._counts["cancelled"] += len(timers) - len(kept)
        if event_type == "purchase":
            kept = [one if one.sent is None else one.knowing(time) for one in kept]
        if tuple(kept) != timers:
            self._change(user, kept)

    def learn(self, user: str, purchased: int) -> None:
        """The shopper's latest purchase, ms, by what is carried: one that was not scored counts as well."""
        timers = self.of(user)
        kept = tuple(one if one.sent is None else one.knowing(purchased) for one in timers)
        if kept != timers:
            self._change(user, kept)

    def ring(self, until: int) -> Iterator[list[Timer]]:
        """Take out what is due by `until`, ms: by time, then shopper; what rings together for a shopper in one list.

        What the caller arms meanwhile rings as well when it is due.
        """
        while self._wheel and self._wheel[0][0] <= until:
            due, user = heapq.heappop(self._wheel)
            ringing = [timer for timer in self.of(user) if timer.due == due]
            if ringing:
                self._counts["rang"] += len(ringing)
                self._change(user, [timer for timer in self.of(user) if timer.due != due])
                yield ringing

    def end(self) -> dict[bytes, bytes | None]:
        """The batch is over: what it changed, by key, for contacts-changelog and the store; None deletes."""
        changes: dict[bytes, bytes | None] = {}
        for user, before in self._before.items():
            timers = self.of(user)
            if timers != before:
                changes[PREFIX + user.encode()] = _encoded(timers) if timers else None
        self._before.clear()
        self._settled = self.watermark
        return changes

    def counts(self) -> dict[str, int]:
        """How many were armed, cancelled by their shopper, rang, and raised when they did, since it was asked last."""
        counts, self._counts = self._counts, Counter()
        return dict(counts)

    def discard(self) -> None:
        """Forget what this batch changed."""
        self._counts.clear()
        for user, timers in self._before.items():
            self._put(user, timers)
        self._before.clear()
        self.watermark = self._settled

    def _change(self, user: str, timers: Iterable[Timer]) -> None:
        self._before.setdefault(user, self.of(user))
        self._put(user, tuple(sorted(timers, key=lambda timer: (timer.due, timer.name))))

    def _put(self, user: str, timers: tuple[Timer, ...]) -> None:
        new = {timer.due for timer in timers} - {timer.due for timer in self.of(user)}
        if timers:
            self._by_user[user] = timers
        else:
            self._by_user.pop(user, None)
        for due in new:
            heapq.heappush(self._wheel, (due, user))


def kept(moment: Moment) -> Moment:
    """The moment without what belongs to a release: the same before and after it was stored."""
    names = [moment.categories[at] for at in moment.top]
    return replace(
        moment,
        top=list(range(len(names))),
        categories=names,
        popular={},
        now=None,
        catalogue=None,
        items=None,
    )


def _encoded(timers: tuple[Timer, ...]) -> bytes:
    return json.dumps([_row(timer) for timer in timers], separators=(",", ":")).encode()


def _row(timer: Timer) -> dict[str, Any]:
    moment = timer.moment
    kept = {name: getattr(moment, name) for name in _KEPT}
    kept |= {"categories": list(moment.categories), "properties": [list(pair) for pair in moment.properties]}
    kept["context"] = base64.b85encode(moment.context).decode()
    row = {"due": timer.due, "campaign": timer.campaign, "kind": timer.kind, "release": timer.release}
    row |= {"sent": timer.sent, "paid": timer.paid and list(timer.paid), "moment": kept}
    return row | ({"drawn": list(timer.drawn)} if timer.drawn else {})


def _decoded(user: str, value: bytes) -> tuple[Timer, ...]:
    return tuple(_timer(user, row) for row in json.loads(value))


def _timer(user: str, row: dict[str, Any]) -> Timer:
    paid, drawn = row["paid"], row.get("drawn")
    known = {"moment": _moment(user, row["moment"]), "paid": paid and (paid[0], paid[1])}
    return Timer(**{**row, **known, "drawn": drawn and Drawn(*drawn)})


def _moment(user: str, row: Mapping[str, Any]) -> Moment:
    return Moment(
        **{name: row[name] for name in _KEPT},
        user_id=user,
        top=list(range(len(row["categories"]))),
        categories=row["categories"],
        popular={},
        properties=[(name, word) for name, word in row["properties"]],
        context=base64.b85decode(row["context"]),
        now=None,
        at=row["event_time"],
    )
