"""The connection to a Ray cluster, and its problems in a sentence."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

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
        import ray
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
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its problems are raised, and worded here
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """OSError when nothing listens there: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), TIMEOUT_S).close()


@contextmanager
def worded() -> Iterator[None]:
    """A SourceProblem of a task is one here, too, and not a stack of Ray's."""
    from ray.exceptions import RayError

    try:
        yield
    except Exception as problem:
        found: BaseException | None = problem
        while found is not None and (isinstance(found, RayError) or not isinstance(found, SourceProblem)):
            found = getattr(found, "cause", None) or found.__cause__ or found.__context__
        if found is not None:
            raise SourceProblem(str(found)) from None
        if isinstance(problem, RayError):
            raise SourceProblem(f"--ray: a task failed: {str(problem).strip().splitlines()[-1]}") from problem
        raise
