"""The book of contacts: what a batch sees, what it leaves behind, what is kept and what is forgotten."""

import pytest

from streams.contacts import WITHHELD, Contact, Sent, contact_of, contact_row, read_consent
from tests.streams.decide_cases import Stored, codec


def sent(time: int, campaign: str = "a", kind: str = "coupon") -> Sent:
    return Sent(campaign, kind, time, f"i{time}")


def day(_: Sent) -> int:
    return 24


def test_a_contact_survives_the_wire() -> None:
    contact = Contact((sent(5), sent(9, "b", "push")), {"coupon": False, "all": True})
    (row,) = codec("contact").decode_rows(codec("contact").encode_rows([contact_row("ann", contact)]))
    assert row["user_id"] == "ann"
    assert contact_of(row) == contact


def test_consent_the_last_word_counts() -> None:
    contact = Contact().told("push", False)
    assert (
        contact.allows("push", "marketing", True),
        contact.allows("coupon", "marketing", True),
        contact.allows("coupon", "marketing", False),
    ) == (
        False,
        True,
        False,
    )
    contact = contact.told("all", True)
    assert contact.allows("push", "marketing", False)
    contact = contact.told("all", False).told("rerank", True)
    assert [contact.allows(channel, "marketing", True) for channel in ("coupon", "push", "rerank")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"channel": "push", "granted": "false"}, ("push", False)),
        ({"channel": "Coupon", "granted": "YES"}, ("coupon", True)),
        ({"granted": "0"}, ("all", False)),
        ({"channel": "pigeon", "granted": "true"}, None),
        ({"channel": "push"}, None),
        ({"channel": "push", "granted": "maybe"}, None),
    ],
)
def test_consent_properties_are_read(properties: dict[str, str], expected: tuple[str, bool] | None) -> None:
    assert read_consent(properties) == expected


def test_sent_is_kept_twice_its_reach_and_in_order_of_time() -> None:
    contact = Contact()
    for time in (101, 60, 102, 10, 149, 120):
        contact = contact.after(sent(time), day)
    assert [entry.time for entry in contact.sent] == [102, 120, 149]  # less than 48 before 149


def test_what_waits_lets_nothing_be_forgotten_for_it_may_be_called_back() -> None:
    waits = Sent("winback", "coupon", 149, "later", 160)
    contact = Contact().after(sent(100), day).after(waits, day)
    assert [entry.time for entry in contact.sent] == [100, 149]
    assert [entry.time for entry in contact.without("later").sent] == [100]


def test_what_no_rule_counts_is_not_kept() -> None:
    assert Contact().after(sent(100), lambda _: 0) == Contact()


def test_a_long_reach_does_not_keep_the_entries_of_a_short_one() -> None:
    contact = Contact()
    for time, kind in ((0, "coupon"), (0, "rerank"), (50, "rerank")):
        contact = contact.after(sent(time, kind, kind), lambda entry: 1000 if entry.kind == "coupon" else 1)
    assert [(entry.kind, entry.time) for entry in contact.sent] == [("coupon", 0), ("rerank", 50)]


def test_a_batch_reads_its_shoppers_at_once() -> None:
    stored = Stored()
    stored.book.fetch(["ann", "bob", "ann"])
    assert stored.book.get("ann") == stored.book.get("bob") == Contact()
    assert stored.reads == [["ann", "bob"]]


def test_changes_reach_the_store_and_the_next_batch() -> None:
    stored = Stored(capacity=0)  # nothing is cached: the next batch reads what was stored
    stored.book.put("ann", Contact((sent(1),)))
    stored.book.put("bob", Contact((sent(2),)))
    stored.book.put("ann", Contact((sent(3),)))
    assert stored.book.changes() == [("ann", Contact((sent(3),))), ("bob", Contact((sent(2),)))]
    stored.commit()
    assert stored.book.changes() == []
    assert stored.book.get("ann") == Contact((sent(3),))


def test_discard_returns_to_what_is_stored() -> None:
    stored = Stored()
    stored.book.put("ann", Contact((sent(1),)))
    stored.commit()
    stored.book.put("ann", Contact((sent(1), sent(2))))
    stored.book.put("bob", Contact((sent(2),)))
    stored.book.discard()
    assert stored.book.changes() == []
    assert (stored.book.get("ann"), stored.book.get("bob")) == (Contact((sent(1),)), Contact())


def test_the_cache_is_bounded_and_keeps_the_recently_used() -> None:
    stored = Stored(capacity=2)
    for user in ("ann", "bob", "ann", "cy"):
        stored.book.get(user)
        stored.commit()
    stored.reads.clear()
    stored.book.fetch(["ann", "bob", "cy"])
    assert stored.reads == [["bob"]]


def test_a_change_counts_before_the_store_has_it() -> None:
    stored = Stored(capacity=0)
    stored.book.put("ann", Contact((sent(1),)))
    first = stored.book.end()
    assert stored.book.get("ann") == Contact((sent(1),))
    stored.book.put("ann", Contact((sent(2),)))
    second = stored.book.end()
    stored.book.settle(first)  # an earlier batch is stored: what came after it is not
    assert stored.book.get("ann") == Contact((sent(2),))
    stored.book.end()
    stored.book.settle(second)
    assert stored.book.get("ann") == Contact()  # as the store says


def test_what_was_withheld_is_kept_for_its_own_campaign_and_makes_nothing_else_old() -> None:
    contact = Contact().after(sent(1, "a"), day).after(sent(2, "b", WITHHELD), day)
    contact = contact.after(sent(100, "a", WITHHELD), day)
    assert [one.time for one in contact.sent] == [1, 2, 100]
    contact = contact.after(sent(200, "a", WITHHELD), day)
    assert [one.time for one in contact.sent] == [1, 2, 200], "of its own campaign only the lately withheld"
    assert [one.time for one in contact.after(sent(90, "c"), day).sent] == [90, 200]
    (row,) = codec("contact").decode_rows(codec("contact").encode_rows([contact_row("ann", contact)]))
    assert contact_of(row) == contact
