"""Starts one worker process: checks first, then Faust."""

from __future__ import annotations

import logging
import sys

import faust

from schemas import topics
from schemas.kafka import wait_for_broker
from schemas.settings import Settings
from streams.app import create_app


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises TopicProblem and its kind before anything is consumed."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    wait_for_broker(settings)
    topics.check(settings)
    app = create_app(settings)
    worker = faust.Worker(app, loglevel="WARNING", override_logging=False, quiet=True)
    worker.execute_from_commandline()
