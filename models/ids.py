"""Deterministic ids of decisions and interventions: the same event gives the same ids at every redo.

They are uuid5 of "decision:<event id>:<campaign>" and "intervention:<event id>:<campaign>" over the namespace of the
predictions' ids, so that a consumer who meets a record twice can drop the second by its id alone.
"""

import hashlib

from models.predictions import NAMESPACE

_SEED = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def decision_id(event_id: str, campaign: str) -> str:
    """Id of the decision on one campaign after one event."""
    return _uuid5(f"decision:{event_id}:{campaign}")


def intervention_id(event_id: str, campaign: str) -> str:
    """Id of the intervention of one campaign after one event."""
    return _uuid5(f"intervention:{event_id}:{campaign}")


def _uuid5(name: str) -> str:
    """str(uuid.uuid5(NAMESPACE, name)) without the detour over a UUID object, which costs most of its time."""
    digest = _SEED.copy()
    digest.update(name.encode())
    text = digest.hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
