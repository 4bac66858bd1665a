"""The sums for 100 workers, and tables of figures side by side."""

from bench.page import tables
from bench.paper import Point, needs, point, section

FIGURES = {
    "shoppers": {
        "10,000": {},
        "1,000,000": {
            "events_per_s": 20_000.0,
            "cpu_us_per_event": 40.0,
            "broker_cores_used": 0.4,
            "events_bytes_per_event": 100.0,
            "predictions_bytes_per_event": 200.0,
            "changelog_bytes_per_event": 50.0,
            "store_bytes_per_shopper": 2_500.0,
            "memory_bound_mib": 1_024.0,
        },
    }
}


def test_the_point_is_that_of_most_shoppers():
    assert point(FIGURES) == Point("1,000,000", 20_000.0, 40.0, 20.0, 100.0, 200.0, 50.0, 2_500.0, 1_024.0)


def test_needs_follow_from_the_point():
    found = {what: result for what, _, result in needs(point(FIGURES))}
    assert found["events/s at saturation"] == "2,000,000"
    assert found["events/s planned for"] == "1,000,000"
    assert found["cores of workers"] == "40"
    assert found["cores of brokers, at most"] == "60"
    assert found["memory of workers"] == "100 GiB"
    assert found["network, producers to brokers"] == "0.80 Gbit/s"
    assert found["network, workers to brokers"] == "2.00 Gbit/s"
    assert found["network, between brokers"] == "5.60 Gbit/s"
    assert found["disk of brokers, events and predictions"] == "544.3 TB"
    assert found["disk of workers, per 100 million shoppers"] == "0.25 TB"
    assert "| 100 × 20,000 | 2,000,000 |" in section(FIGURES)


def test_what_was_measured_the_same_way_stands_side_by_side():
    figures = {"rate": 5, "loads": {"low": {"a": 1, "b": {"c": 2}}, "high": {"a": 3, "b": {"c": 4}}}}
    lines = tables(figures)
    assert "| rate | 5 |" in lines
    assert "| loads | low | high |" in lines
    assert "| b.c | 2 | 4 |" in lines


def test_the_longer_side_goes_down_the_page():
    lines = tables({"stages": {name: {"ours": 1, "floor": 2} for name in ("decode", "step", "heads")}})
    assert "| stages | ours | floor |" in lines
    assert "| step | 1 | 2 |" in lines
