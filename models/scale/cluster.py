"""The connection to a Ray cluster, and its problems in a sentence."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from models.replay.source import SourceProblem

_QUIET = {"RAY_TRAIN_V2_ENABLED": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}

TIMEOUT_S = 10.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Ray at host:port, ray://host:port or `auto`; a connection that is there is used and kept.

    Raises SourceProblem when the extra is missing or nothing answers there.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray = part()
    except ImportError:
        raise SourceProblem("--ray needs Ray: install intentflow[ray], or leave --ray out") from None
    if ray.is_initialized():
        yield
        return
    try:
        _answers(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError, OSError) as problem:
        said = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        raise SourceProblem(
            f"--ray {address}: no Ray cluster answers there ({said}); start one (`ray start --head`), or leave --ray out"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """OSError when nothing listens there: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), TIMEOUT_S).close()


def machines() -> int:
    """How many there are in the cluster that is connected."""
    return sum(bool(node["Alive"]) for node in part().nodes())


def cpus() -> float:
    """Of all machines together."""
    return float(part().cluster_resources().get("CPU", 0))


def node() -> str:
    """The id of the machine that this task runs on."""
    return str(part().get_runtime_context().get_node_id())


def part(name: str = "ray") -> Any:
    """A module of Ray, loaded where it is needed. Its types are not the same in every version."""
    return import_module(name)


@contextmanager
def worded() -> Iterator[None]:
    """A SourceProblem of a task is one here, too, and not a stack of Ray's."""
    ray_error: type[Exception] = part("ray.exceptions").RayError
    try:
        yield
    except Exception as problem:
        found: BaseException | None = problem
        while found is not None and (isinstance(found, ray_error) or not isinstance(found, SourceProblem)):
            found = _below(found)
        if found is not None:
            raise SourceProblem(str(found)) from None
        if isinstance(problem, ray_error):
            raise SourceProblem(f"--ray: a task failed: {str(problem).strip().splitlines()[-1]}") from problem
        raise


def _below(problem: BaseException) -> BaseException | None:
    """What was raised in the task."""
    failures = list(getattr(problem, "worker_failures", {}).values())  # of Ray Train, each around its own
    found = [getattr(one, "_base_exc", one) for one in failures]
    below: BaseException | None = getattr(problem, "cause", None) or problem.__cause__ or problem.__context__
    return next((one for one in found if isinstance(one, SourceProblem)), below)
