"""What is pure in bench/shrink.py: the frontier of its plot."""

from bench.shrink import frontier


def test_the_frontier_leaves_out_what_is_slower_and_no_better() -> None:
    points = [(3.0, 0.80), (1.0, 0.70), (2.0, 0.80), (2.0, 0.75), (4.0, 0.90), (5.0, 0.85)]
    assert frontier(points) == [(1.0, 0.70), (2.0, 0.80), (4.0, 0.90)]
