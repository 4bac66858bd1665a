"""A release as other programs take it: one ONNX graph from a shopper's state and an event to scores and next state.

The worker calls two graphs, step and heads, because it rebuilds rows without scoring them. A peer only ever wants both,
so it gets them joined, and calls ONNX Runtime once. State goes in and out in half precision, as peers store it.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, compose, helper

from bench.peers.job import Job
from models import promotion
from models.engine_onnx import heads_graph, step_graph
from models.events import DEVICES, EVENT_TYPES
from models.predictions import NAMESPACE
from models.release import Release
from schemas import avro
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics


def export(settings: Settings, group: str, folder: Path) -> Path:
    """Writes the promoted release and the job of `group` into `folder`; returns the job's file.

    Its predictions go to a topic `<group>-predictions`. RuntimeError when no release is promoted.
    """
    promoted = promotion.promoted(settings)
    if promoted is None:
        raise RuntimeError("no release is promoted; bench.peers.site.deploy does it")
    release = promoted.open()
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(release), folder / "model.onnx")
    return job(settings, release, group, folder).write(folder / "job.json")


def job(settings: Settings, release: Release, group: str, folder: Path) -> Job:
    """The job of one peer."""
    card, features = release.card, release.card.features
    return Job(
        bootstrap=settings.bootstrap_servers,
        group=group,
        source=Topics(settings).behavior_events,
        predictions=f"{group}-predictions",
        partitions=settings.partitions,
        folder=str(folder),
        model=str(folder / "model.onnx"),
        release_id=release.id,
        tasks=card.tasks,
        categories=card.categories,
        state_size=card.architecture.state_size,
        ring=settings.ring_events,
        features={
            "item_buckets": features.item_buckets,
            "category_buckets": features.category_buckets,
            "session_gap_s": features.session_gap_s,
        },
        event_types=EVENT_TYPES,
        devices=DEVICES,
        namespace=str(NAMESPACE),
        prediction_schema_id=open_registry(settings).id_of("prediction"),
        schemas={name: _schema(name) for name in ("behavior_event", "prediction")},
    )


def graph(release: Release) -> ModelProto:
    """ids (B, 4), dense (B, D), state f2 (B, S) -> tasks, survival, top, top_scores, next_state f2 (B, S)."""
    card = release.card
    weights = card.calibration.folded(release.weights())
    heads = compose.add_prefix(
        heads_graph(card, weights), "heads.", rename_inputs=False, rename_outputs=False
    )
    whole = compose.merge_models(step_graph(card, weights), heads, io_map=[("trunk", "trunk")])
    nodes, size = whole.graph.node, card.architecture.state_size
    nodes.insert(0, helper.make_node("Cast", ["state"], ["hidden"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Cast", ["after"], ["next_state"], to=TensorProto.FLOAT16))
    _replace(whole.graph.input, "hidden", "state", size)
    _replace(whole.graph.output, "after", "next_state", size)
    onnx.checker.check_model(whole)
    return whole


def _replace(values: list[onnx.ValueInfoProto], old: str, new: str, size: int) -> None:
    """Declares `new` in half precision where `old` was declared."""
    (place,) = [at for at, value in enumerate(values) if value.name == old]
    values[place].CopyFrom(helper.make_tensor_value_info(new, TensorProto.FLOAT16, ["rows", size]))


def _schema(name: str) -> object:
    return avro.without_logical_types(json.loads(avro.current(name)))
