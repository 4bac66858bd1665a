"""Ray Data on two nodes makes the shards that one machine makes, to the byte; and both nodes work."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.replay.shards import Chosen
from models.replay.source import Interval, SourceProblem
from models.scale import building
from models.scale.cluster import connected
from schemas.settings import Settings
from tests.models.replay.shop import INTERVAL, split, troubled, write


@pytest.fixture
def shop(settings: Settings) -> Settings:
    write(Path(settings.archive_uri), troubled())
    return settings


def test_two_nodes_make_the_shards_of_one_machine(two_nodes: str, shop: Settings, tmp_path: Path) -> None:
    here = split(shop, tmp_path / "here", 7)
    there = building.write(two_nodes, shop, INTERVAL, 7, str(tmp_path / "there"), Chosen())
    assert len(there.nodes) == 2, "one node did it all"
    assert [one[:3] for one in there.files] == [one[:3] for one in here.files]
    assert there.dropped == here.dropped
    for one in here.files:
        assert (tmp_path / "there" / one.name).read_bytes() == (tmp_path / "here" / one.name).read_bytes()


def test_a_damaged_file_is_named_as_on_one_machine(two_nodes: str, shop: Settings, tmp_path: Path) -> None:
    file = sorted(Path(shop.archive_uri).rglob("*.parquet"))[3]
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(SourceProblem, match=rf"^archive file .*{file.name}: cannot be read.*delete it"):
        building.write(two_nodes, shop, INTERVAL, 3, str(tmp_path / "there"), Chosen())


def test_an_address_without_a_cluster_is_one_sentence() -> None:
    with (
        pytest.raises(SourceProblem, match=r"--ray 127.0.0.1:1: no Ray cluster answers there"),
        connected("127.0.0.1:1"),
    ):
        pass


def test_an_interval_without_events_is_refused(two_nodes: str, shop: Settings, tmp_path: Path) -> None:
    empty = Interval.between("2030-01-01", "2030-01-02")
    with pytest.raises(SourceProblem, match="choose another interval"):
        building.write(two_nodes, shop, empty, 3, str(tmp_path / "there"), Chosen())
