"""Starts one worker process: checks first, then Faust."""

from __future__ import annotations

import gc
import logging
import sys

import faust

from schemas import topics
from schemas.kafka import wait_for_broker
from schemas.settings import Settings
from streams.app import create_app

# Of Python's cycle collector: container objects made and not yet freed before it looks at the young ones, and how many
# such looks before the older and the oldest. Its defaults (700, 10, 10) had it look through a fetch of thousands of
# records again and again, a fifth of all CPU time; cycles come from failures and connections alone here, and are few.
COLLECTOR = (100_000, 20, 50)
# For how long a thread may keep the interpreter while another waits. The compute thread gives it up at every larger numpy
# call, some hundreds in a turn; with Python's 5 ms it then stood behind the client's threads for most of a small turn.
SWITCH_S = 0.0005


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises TopicProblem and its kind before anything is consumed."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    wait_for_broker(settings)
    topics.check(settings)
    app = create_app(settings)
    tune_interpreter()
    worker = faust.Worker(app, loglevel="WARNING", override_logging=False, quiet=True)
    worker.execute_from_commandline()


def tune_interpreter() -> None:
    """Settings of Python itself, once everything is imported."""
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not go through it
    gc.set_threshold(*COLLECTOR)
    sys.setswitchinterval(SWITCH_S)
