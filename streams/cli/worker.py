"""`intentflow worker`: one process of the live path."""

from __future__ import annotations

import os

# Before numpy is loaded. Only look-ups of next items multiply matrices there, and of two threads each waits for the other:
# 560 µs of CPU a look-up among 20,000 items, not 240.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from schemas.settings import Settings
from streams import worker
from streams.cli import verb

app = verb()


@app.command()
def run() -> None:
    """Score events as they come and decide whether to step in, until Ctrl-C: the live path.

    Reads behavior-events, writes predictions, decisions and interventions. Start one per core: workers share the
    partitions among themselves. It needs the topics, a promoted release (intentflow models) and, to emit anything, a
    published policy (intentflow policy). It waits for those that are not there yet.

    \b
    Example:
      INTENTFLOW_BOOTSTRAP_SERVERS=127.0.0.1:9092 intentflow worker
    """
    worker.run(Settings.load())
