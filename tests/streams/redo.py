"""What the model test of redo compares: outputs by what must not differ, rows and contacts of every shopper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from streams.decide import CompiledPolicy
from streams.policy import Policy
from streams.sequences import release_hash
from tests.streams.decide_cases import document
from tests.streams.live import CODECS, RING, Partition

HIDDEN = 1e-5  # batches of another size differ in the last bits of a float
SCORES = 1e-5

SAME: dict[str, tuple[str, ...]] = {
    "prediction": ("event_id", "prediction_id", "user_id", "event_time"),
    "decision": ("decision_id", "campaign", "outcome", "reason", "propensity", "eligible", "intervention_id"),
    "intervention": ("intervention_id", "decision_id", "campaign", "event_time", "expires_at", "coupon"),
    "dead_letter": ("offset", "reason", "value"),
}


def policy(tasks: tuple[str, ...]) -> CompiledPolicy:
    """Every purchase is a candidate whatever its scores, so that caps, cooldowns and consent alone decide."""
    source = document()
    source["campaigns"] = source["campaigns"][:2]
    source["campaigns"][0]["payload"]["category"] = (
        None  # not the most likely next one, which hangs on the release
    )
    for campaign in source["campaigns"]:
        score = campaign["trigger"]["score"]
        campaign["trigger"] = {"event_types": ["purchase"], "score": score, "at_least": 0.0}
        campaign["value"] = {"margin_per_conversion": 1, "lift": 1, "cost_per_contact": 0, "minimum": 0}
    return CompiledPolicy(Policy.model_validate(source), tasks)


class Outputs:
    """What a partition has published, by schema, decoded as it comes."""

    def __init__(self, partition: Partition) -> None:
        self._partition, self._read = partition, 0
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SAME}

    def read_on(self) -> None:
        new = self._partition.published[self._read :]
        self._read += len(new)
        for name in SAME:
            values = [value for schema, value in new if schema == name]
            self.rows[name] += getattr(CODECS, name).decode_rows(values)

    def counts(self) -> dict[str, int]:
        return {name: len(rows) for name, rows in self.rows.items()}

    def essence(self, name: str) -> list[tuple[Any, ...]]:
        return [tuple(row[field] for field in SAME[name]) for row in self.rows[name]]

    def survival(self, first: int) -> np.ndarray:
        """Survival curves of the first predictions."""
        return np.ravel([row["survival"] for row in self.rows["prediction"][:first]])


def contacts(partition: Partition, users: Iterable[int]) -> list[dict[str, Any]]:
    """Stored contacts of the users that have one."""
    values = partition.store.contacts([f"user-{user}" for user in users])
    return CODECS.contact.decode_rows([value for value in values if value is not None])


def check_row(hurt: np.void, alone: dict[int, np.void], swapped: bool) -> None:
    """A row against those computed from the log alone, by release.

    Where releases were swapped, the state carried from before a ring that has turned over depends on where in the log
    the swap fell, which a redo may move: it is held equal for shoppers whose whole history is in the ring.
    """
    release = int(hurt["meta"]["release"])
    whole = alone[release] if release else next(iter(alone.values()))
    names = set(hurt["meta"].dtype.names)
    if not hurt["meta"]["length"]:
        names -= {
            "applied"
        }  # an erased row leaves a tombstone, which has no offset: redo passes the erasure again
    for name in sorted(names):
        assert hurt["meta"][name] == whole["meta"][name], name
    assert hurt["ids"].tobytes() == whole["ids"].tobytes()
    assert hurt["ring"].tobytes() == whole["ring"].tobytes()
    if not swapped or hurt["meta"]["context"]["events"] <= RING:
        np.testing.assert_allclose(hurt["hidden"].astype("f4"), whole["hidden"].astype("f4"), atol=HIDDEN)


def hash_of(partition: Partition) -> int:
    """How rows name the partition's release."""
    return release_hash(partition.model.engine.release_id)
