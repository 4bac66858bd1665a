"""Only a partition that has something to do and does not get on is stuck."""

from dataclasses import dataclass

from faust.types import TP

from schemas.settings import Settings
from streams.watchdog import Watchdog

ONE, OTHER = TP("events", 0), TP("events", 1)


@dataclass
class Partition:
    """What the watchdog sees of a partition."""

    fetched: int = 0

    def mark(self) -> tuple[int, ...]:
        return (self.fetched,)

    def behind(self, end: int) -> bool:
        return self.fetched < end


def watching(partitions: dict[TP, Partition]) -> Watchdog:
    return Watchdog(Settings(stuck_after_s=60), partitions, lambda stuck: None)  # type: ignore[arg-type]


def test_a_partition_with_records_and_no_progress_is_stuck_and_named() -> None:
    partitions = {ONE: Partition(5), OTHER: Partition(5)}
    watchdog = watching(partitions)
    watchdog.look({ONE: 9, OTHER: 5}, 0.0)
    watchdog.look({ONE: 9, OTHER: 5}, 50.0)
    assert watchdog.stuck(50.0) == []
    watchdog.look({ONE: 9, OTHER: 5}, 61.0)
    assert watchdog.stuck(61.0) == [ONE]
    assert watchdog.quiet(ONE, 61.0) == 61.0
    assert watchdog.quiet(OTHER, 61.0) == 0.0


def test_progress_starts_the_clock_again() -> None:
    partitions = {ONE: Partition(5)}
    watchdog = watching(partitions)
    for second, fetched in ((0, 5), (50, 6), (100, 7), (150, 8)):
        partitions[ONE].fetched = fetched
        watchdog.look({ONE: 9}, float(second))
        assert watchdog.stuck(float(second)) == []


def test_a_partition_that_went_elsewhere_is_forgotten() -> None:
    partitions = {ONE: Partition(5)}
    watchdog = watching(partitions)
    watchdog.look({ONE: 9}, 0.0)
    del partitions[ONE]
    watchdog.look({}, 10.0)
    partitions[ONE] = Partition(5)
    watchdog.look({ONE: 9}, 100.0)
    assert watchdog.stuck(100.0) == []


def test_a_broker_that_does_not_answer_makes_nobody_stuck() -> None:
    watchdog = watching({ONE: Partition(5)})
    watchdog.look({ONE: 9}, 0.0)
    watchdog.look({}, 100.0)
    assert watchdog.stuck(100.0) == []
