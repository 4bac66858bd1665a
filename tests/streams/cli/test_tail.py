"""Reading topics from the command line."""

import json
import threading
import time
from typing import Any

import pytest

from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics
from streams.cli.log import Log
from tests.streams.cli.conftest import Run, put, send

pytestmark = pytest.mark.embedded
NOON = 1_509_710_400_000
USERS = [f"u{number}" for number in range(7)]


def _events(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"event_id": f"e{at}", "user_id": USERS[at % 7], "event_type": "click", "event_time": NOON + at}
        for at in range(first, first + count)
    ]


def _ids(output: str) -> list[str]:
    return [json.loads(line)["value"]["event_id"] for line in output.splitlines()]


def test_the_last_records_of_all_partitions_by_default(run: Run, shop: Settings) -> None:
    send(shop, "behavior_event", _events(30))
    time.sleep(0.01)  # record timestamps are in ms
    send(shop, "behavior_event", _events(4, first=30))
    assert sorted(_ids(run("tail", "behavior-events", "--json", "-n", "4").output)) == [
        "e30",
        "e31",
        "e32",
        "e33",
    ]
    assert len(_ids(run("tail", "behavior-events", "--json").output)) == 10
    assert "event_type=click" in run("tail", "behavior-events", "-n", "1").output


def test_one_shopper_only(run: Run, shop: Settings) -> None:
    send(shop, "behavior_event", _events(30))
    wanted = [f"e{at}" for at in range(30) if at % 7 == 3]
    assert _ids(run("tail", "behavior-events", "--user", "u3", "--json").output) == wanted
    assert _ids(run("tail", "behavior-events", "--user", "u3", "-n", "2", "--json").output) == wanted[-2:]
    assert (
        _ids(
            run("tail", "behavior-events", "--user", "u3", "--from", "beginning", "-n", "2", "--json").output
        )
        == wanted[:2]
    )
    assert run("tail", "behavior-events", "--user", "nobody").output == ""


def test_from_the_beginning_and_from_a_time(run: Run, shop: Settings) -> None:
    send(shop, "behavior_event", _events(30))
    assert len(_ids(run("tail", "behavior-events", "--from", "beginning", "--json").output)) == 30
    assert len(_ids(run("tail", "behavior-events", "--from", "beginning", "-n", "5", "--json").output)) == 5
    assert len(_ids(run("tail", "behavior-events", "--from", "2020-01-01", "--json").output)) == 30
    assert run("tail", "behavior-events", "--from", "2999-01-01").output == ""
    assert "want a date or time" in run("tail", "behavior-events", "--from", "noon", code=2).stderr


def test_from_the_end_it_follows(run: Run, shop: Settings) -> None:
    send(shop, "behavior_event", _events(5))
    stop = threading.Event()

    def keep_sending() -> None:
        while not stop.wait(0.3):
            send(shop, "behavior_event", _events(1, first=5))

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        assert _ids(run("tail", "behavior-events", "--from", "end", "-n", "2", "--json").output) == [
            "e5",
            "e5",
        ]
    finally:
        stop.set()
        sender.join()


def test_rubbish_is_shown_with_what_is_wrong(run: Run, shop: Settings) -> None:
    put(shop, Topics(shop).behavior_events, [(b"u1", b"rubbish")])
    assert "u1  (undecodable: no schema header" in run("tail", "behavior-events").output


def test_a_topic_that_is_not_there_is_told(run: Run, settings: Settings) -> None:
    assert "make the topics with `intentflow topics create`" in run("tail", "decisions", code=1).stderr


def test_backwards_in_chunks_no_record_is_lost_or_doubled(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.cli.log.FIRST_CHUNK", 3)
    topic = Topics(shop).policies
    put(shop, topic, [(str(at % 2).encode(), str(at).encode()) for at in range(100)])
    with Log(shop) as log:
        assert [record.value for record in log.newest(topic, 0)] == [
            str(at).encode() for at in range(99, -1, -1)
        ]
        odd = log.newest(topic, 0, b"1")
        assert [next(odd).value for _ in range(3)] == [b"99", b"97", b"95"]
        assert [one.offset for part in log.between(topic, 0, 10, 13) for one in part] == [10, 11, 12]
        assert list(log.between(topic, 0, 5, 5)) == []
        with pytest.raises(TopicProblem):
            log.partitions("no-such-topic")
