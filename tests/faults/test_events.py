"""The known events: the same at every call, with what is woven in."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from streams.loaders.base import DATA
from tests.faults import events
from tests.faults.events import known


def test_the_same_count_gives_the_same_records_with_doubles_consents_and_garbage():
    found = known(5_000)
    assert found.records == known(5_000).records
    times = collections.Counter(record.event_id for record in found.records)
    assert times[""] == 1  # garbage
    assert sum(count == 2 for name, count in times.items() if name) == 5_000 // events.TWICE_EVERY
    assert len(times) - 1 == 5_000 + 5_000 // events.CONSENT_EVERY


def test_without_any_data_set_shoppers_are_made_up_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(DATA, str(tmp_path))
    monkeypatch.setattr(events.loaders, "LOADERS", {"taobao": events.loaders.LOADERS["taobao"]})
    found = known(500)
    assert "made-up" in found.source
    assert len(found.records) > 500
    assert found.categories
