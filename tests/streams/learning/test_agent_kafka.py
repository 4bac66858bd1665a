"""The learner's crash and its successor, as on the embedded broker, on a real Kafka."""

from __future__ import annotations

import pytest

from tests.streams.learning.test_agent_embedded import (
    test_a_group_whose_offsets_are_lost_learns_nothing_twice,
    test_a_second_learner_takes_over_and_the_first_ends,
    test_killed_again_and_again_it_learns_each_outcome_once,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
__all__ = [
    "test_a_group_whose_offsets_are_lost_learns_nothing_twice",
    "test_a_second_learner_takes_over_and_the_first_ends",
    "test_killed_again_and_again_it_learns_each_outcome_once",
]
