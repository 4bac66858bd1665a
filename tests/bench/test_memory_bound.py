"""The bound on a worker's memory follows the settings that rule it."""

import pytest

from bench.memory_bound import bound_mib
from schemas.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("hot_rows", 262_144, "hot_rows"),
        ("ring_events", 100, "hot_rows"),
        ("block_cache_bytes", "256MiB", "rocksdb"),
    ],
)
def test_a_larger_setting_gives_a_larger_bound(settings: Settings, name: str, value: object, part: str):
    larger = bound_mib(Settings.load(**{name: value}))
    assert larger[part] > bound_mib(Settings.load())[part]
    assert larger["total"] == pytest.approx(sum(larger.values()) - larger["total"])
