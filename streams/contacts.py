"""What was sent to each shopper and what the shopper allowed: the state behind caps, cooldowns and consent.

`decide` reads and changes it while it walks a batch. Changes stay apart until the batch's transaction stands: they
go out as `changes()` to contacts-changelog in that transaction, then `settle()`; an aborted one is `discard()`ed,
and the same batch gives the same decisions again. Contacts are immutable, so nothing half-done leaks out of a batch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

from streams.budgets import Budgets
from streams.policy import KINDS, PURPOSES
from streams.timers import Timers

CACHED = 65_536  # shoppers of a partition whose contacts are in memory
FORGET = "erasure"
ZONE = "time_zone"  # property of any event: the shopper's time zone, an IANA name
CHANNELS = (*KINDS, "all")
WITHHELD = "control"  # as the kind of an entry: nothing was sent, by the draw of an arm that is learnt
_YES, _NO = ("true", "1", "yes", "granted"), ("false", "0", "no", "revoked")


class Sent(NamedTuple):
    """One intervention that was published; or that an arm that is learnt withheld, which only its campaign's cooldown counts."""

    campaign: str
    kind: str  # one of KINDS, or WITHHELD
    time: int  # event time of what raised it, ms
    intervention_id: str
    send_after: int | None = None  # event time, ms, before which it does not go out; None: `time`

    @property
    def out(self) -> int:
        """When it reaches the shopper, at the earliest; ms."""
        return self.time if self.send_after is None else self.send_after


class Said(NamedTuple):
    """What a shopper told us: consent given or taken back, or (channel FORGET) to be forgotten, or (ZONE) where.

    The channel of a consent is "push" for all purposes, "push:marketing" for one.
    """

    row: int  # of a scored batch: it counts from this event on
    user: str
    channel: str
    granted: bool
    word: str = ""  # with ZONE: its name


@dataclass(frozen=True, slots=True)
class Contact:
    """State of one shopper; mirrors schemas/contact.avsc. A shopper never seen is `Contact()`."""

    sent: tuple[Sent, ...] = ()  # by time, oldest first
    consent: Mapping[str, bool] = field(default_factory=dict)  # by channel or channel:purpose, as last told
    time_zone: str | None = None  # IANA name, as last told

    def allows(self, channel: str, purpose: str, default: bool) -> bool:
        """Whether the shopper may be reached; what was said of less goes before what was said of more.

        `default` holds for a shopper who said nothing of it.
        """
        consent = self.consent
        if not consent:
            return default
        return consent.get(f"{channel}:{purpose}", consent.get(channel, consent.get("all", default)))

    def told(self, channel: str, granted: bool) -> "Contact":
        """After a consent event. The last word counts: it replaces every earlier one on a part of it."""
        name, _, purpose = channel.partition(":")
        if purpose:
            names = KINDS if name == "all" else (name,)
            return replace(self, consent={**self.consent, **{f"{one}:{purpose}": granted for one in names}})
        kept = {one: word for one, word in self.consent.items() if name not in ("all", one.partition(":")[0])}
        return replace(self, consent={**kept, name: granted})

    def without(self, intervention_id: str) -> "Contact":
        """Before this intervention: the place it held in caps and cooldowns is free again."""
        return replace(self, sent=tuple([one for one in self.sent if one.intervention_id != intervention_id]))

    def after(self, sent: Sent, reach: Callable[[Sent], int]) -> "Contact":
        """After an intervention; forgets what no rule can need any more.

        `reach(entry)` is the longest window, ms, in which a rule counts the entry. Twice that is kept behind
        the newest entry, because a late event looks back from its own time (see `rules.standing_rule`). One that waits
        for its hour does not count as the newest: it may be called back. What was withheld is the newest to its own
        campaign alone.
        """
        if not reach(sent):
            return self  # no rule counts it: caps exempt its kind and it has no cooldown
        entries = [*self.sent, sent]
        if len(entries) > 1 and sent.time < entries[-2].time:
            entries.sort(key=lambda entry: entry.time)
        withheld = {entry.campaign: entry.time for entry in entries if entry.kind == WITHHELD}
        went = (entry for entry in reversed(entries) if entry.send_after is None and entry.kind != WITHHELD)
        newest = next((entry.time for entry in went), 0)

        def behind(entry: Sent) -> int:
            return max(newest, withheld[entry.campaign]) if entry.kind == WITHHELD else newest

        return replace(
            self, sent=tuple([entry for entry in entries if entry.out > behind(entry) - 2 * reach(entry)])
        )


def read_consent(properties: Mapping[str, str]) -> tuple[str, bool] | None:
    """(channel, granted) of a consent event's properties, the channel with ":" and its purpose where one is named.

    None when one is missing or not understood.
    """
    channel, word = properties.get("channel", "all").lower(), properties.get("granted", "").lower()
    purpose = properties.get("purpose", "").lower()
    if channel not in CHANNELS or word not in _YES + _NO or purpose not in ("", *PURPOSES):
        return None
    return f"{channel}:{purpose}" if purpose else channel, word in _YES


class RowCodec(Protocol):
    """The part of schemas.codec.Codec("contact") that is used."""

    def encode_rows(self, rows: list[dict[str, Any]]) -> list[bytes]: ...
    def decode_rows(self, values: Sequence[bytes | None]) -> list[dict[str, Any]]: ...


class ContactBook:
    """Contacts of one partition, looked up in this batch, then an LRU cache, then the store.

    `load` gives the stored bytes of many users at once, None for a user never stored (a multi-get of RocksDB).
    `capacity` bounds the cache in shoppers, known and unknown ones alike.
    """

    def __init__(
        self,
        codec: RowCodec,
        load: Callable[[list[str]], Sequence[bytes | None]],
        capacity: int = CACHED,
        timers: Timers | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self.timers = Timers() if timers is None else timers
        self.budgets = Budgets() if budgets is None else budgets
        self._codec = codec
        self._load = load
        self._capacity = capacity
        self._cache: dict[str, Contact] = {}  # least recently used first
        self._batch: dict[str, Contact] = {}  # everything this batch touched, as it now stands
        self._changed: dict[str, None] = {}  # in order of their first change
        self._unsettled: dict[
            str, Contact
        ] = {}  # as earlier batches left them; the store does not have them yet

    def fetch(self, users: Iterable[str]) -> None:
        """Bring these users into the batch with at most one read of the store and one decode."""
        missing: list[str] = []
        for user in dict.fromkeys(users):
            if user in self._batch:
                continue
            cached = self._cache.pop(user, None)  # comes back, as most recently used, at the end of the batch
            if cached is None:
                missing.append(user)
            else:
                self._batch[user] = cached
        if missing:
            self._batch.update(self._read(missing))

    def get(self, user: str) -> Contact:
        """The user's contact with this batch's changes in it."""
        if user not in self._batch:
            self.fetch((user,))
        return self._batch[user]

    def put(self, user: str, contact: Contact) -> None:
        """Change the user's contact, as part of this batch."""
        self._batch[user] = contact
        self._changed[user] = None

    def hear(self, said: Said) -> None:
        """Change the contact as its shopper told us to."""
        if said.channel == FORGET:
            self.put(said.user, Contact())
            for timer in self.timers.of(said.user):
                if timer.paid:
                    self.budgets.refund(timer.campaign, *timer.paid)
            self.timers.forget(said.user)
        elif said.channel == ZONE:
            contact = self.get(said.user)
            if said.word != contact.time_zone:
                self.put(said.user, replace(contact, time_zone=said.word))
        elif said.channel.partition(":")[0] in CHANNELS:  # a channel that we never use is not kept
            self.put(said.user, self.get(said.user).told(said.channel, said.granted))

    def changes(self) -> list[tuple[str, Contact]]:
        """(user, contact) of each user that this batch changed, each once."""
        return [(user, self._batch[user]) for user in self._changed]

    def end(self) -> list[tuple[str, Contact]]:
        """The batch is over and becomes the cache; its changes are kept until they are settled, and returned."""
        changes = self.changes()
        self._unsettled.update(changes)
        self._changed.clear()
        self._cache.update(self._batch)
        self._batch.clear()
        surplus = len(self._cache) - self._capacity
        for user in list(islice(self._cache, surplus)) if surplus > 0 else ():
            del self._cache[user]
        return changes

    def encode(self, changes: Sequence[tuple[str, Contact]]) -> list[bytes | None]:
        """Values for contacts-changelog and for the store, in the order of `changes`; None deletes an empty one."""
        known = [contact_row(user, contact) for user, contact in changes if contact != Contact()]
        values = iter(self._codec.encode_rows(known))
        return [None if contact == Contact() else next(values) for _, contact in changes]

    def settle(self, changes: Iterable[tuple[str, Contact]]) -> None:
        """The transaction of these changes of a batch stands, and the store has them."""
        for user, contact in changes:
            if self._unsettled.get(user) is contact:
                del self._unsettled[user]

    def discard(self) -> None:
        """Forget what this batch changed; changed users are read again."""
        for user in self._changed:
            del self._batch[user]
        self._changed.clear()
        self.timers.discard()
        self.budgets.discard()
        self.end()

    def _read(self, users: list[str]) -> dict[str, Contact]:
        values = self._load(users)
        found = [(user, value) for user, value in zip(users, values, strict=True) if value is not None]
        contacts = dict.fromkeys(users, Contact())
        if found:
            rows = self._codec.decode_rows([value for _, value in found])
            contacts.update((user, contact_of(row)) for (user, _), row in zip(found, rows, strict=True))
        return contacts | {user: self._unsettled[user] for user in users if user in self._unsettled}


def contact_row(user: str, contact: Contact) -> dict[str, Any]:
    """The contact as a row of schemas/contact.avsc."""
    sent = [entry._asdict() for entry in contact.sent]
    return {
        "user_id": user,
        "sent": sent,
        "consent": dict(contact.consent),
        "time_zone": contact.time_zone,
    }


def contact_of(row: Mapping[str, Any]) -> Contact:
    """The contact in a decoded row of schemas/contact.avsc."""
    sent = tuple(
        Sent(e["campaign"], e["kind"], int(e["time"]), e["intervention_id"], e["send_after"])
        for e in row["sent"]
    )
    return Contact(sent, dict(row["consent"]), row["time_zone"])
