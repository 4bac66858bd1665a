"""A day of the made-up shop through the whole system, in one command: `make sim`, or `make sim FAST=1` for a small one.

The shoppers are made up (models/shop), so that it is known what each intervention truly does to them. Two weeks without
campaigns are history: streamed, archived, trained on. Then comes a Monday, in which the worker decides and shoppers react,
and a day on which nothing more is sent, so that what was sent can work. What the system reports to have earned stands at the
end beside what is true. Never real data.
"""

from __future__ import annotations

import sys
import time
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

from rich.live import Live
from rich.table import Table

from models.shop.site import DAY_MS, Site
from streams.demo.stage import Stage, fast, iso, played
from streams.demo.view import View
from streams.sim.voice import Voice

FOLDER = Path(".intentflow/sim")
DEPLOY = Path(__file__).parents[2] / "deploy"
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
HISTORY, TRAINED = 14, 10  # days of history; those that are trained on, the rest are evaluated on
SHOPPERS, FEW = 6_000, 1_000
DAY_S, AFTER_S = 75.0, 8.0  # of the clock, for the day and for the day after
SEED = 7


class Sim(Stage):
    """The steps in order; each prints what it does and the command that does it outside."""

    def __init__(self, fast: bool) -> None:
        super().__init__(
            FOLDER,
            {
                "INTENTFLOW_START_FROM": "latest",  # history builds state only
                "INTENTFLOW_EVENT_MAX_AGE_DAYS": "36500",  # the shop has a clock of its own
                "INTENTFLOW_TIMER_CLOCK": "events",
                "INTENTFLOW_LEARN_INTERVAL_S": "2",  # its day has some 70 s
            },
        )
        self._fast = fast
        self._site = Site(FEW if fast else SHOPPERS, SEED, milliseconds(0))

    def run(self) -> None:
        with self._children:
            self._start_broker()
            with Voice(self._settings, self._site, SEED) as voice:
                self._say(
                    f"{HISTORY} days of {len(self._site):,} made-up shoppers, without campaigns",
                    "python -m streams.sim",
                )
                voice.play(milliseconds(HISTORY), step=DAY_MS)
                self._console.print(f"  {voice.sent:,} events", style="dim")
                self._train()
                self._start_worker()
                self._start_learning()
                view = self._day(voice)
            for name in ("learn", "outcomes", "worker"):
                self._children.stop(name)
            page = self._effect()
        self._truth(voice, view)
        self._console.print(
            f"\n{time.monotonic() - self._begun:.0f} s in all. The effect report: {page}", highlight=False
        )
        if sys.stdout.isatty():
            webbrowser.open(page.resolve().as_uri())

    def _start_broker(self) -> None:
        self._say("Broker and topics", "intentflow broker; intentflow topics create")
        super()._start_broker()

    def _train(self) -> None:
        self._say(
            "Archive, and the replay job", "intentflow archive --until-end; intentflow replay run --promote"
        )
        self._intentflow("archive", "--until-end")
        span = ["--from", day(0), "--train-until", day(TRAINED), "--to", day(HISTORY)]
        self._intentflow("replay", "run", *span, "--recipe", str(DEPLOY / "sim.recipe.yaml"), "--promote")
        self._intentflow("policy", "publish", str(DEPLOY / "sim.policy.yaml"))

    def _start_worker(self) -> None:
        self._say("Worker: state from history, then live", "intentflow worker")
        super()._start_worker()

    def _start_learning(self) -> None:
        self._say("What comes of it is learnt from meanwhile", "intentflow outcomes; intentflow learn")
        for name in ("outcomes", "learn"):
            self._children.start(name, [sys.executable, "-m", "streams.cli", name])

    def _day(self, voice: Voice) -> View:
        pace = DAY_S / 5 if self._fast else DAY_S
        self._say(
            f"A day of the shop in {pace:.0f} s: events out, interventions in, and shoppers react",
            "python -m streams.sim",
        )
        view, before = View(self._url, "live"), voice.sent
        with Live(view, console=self._console, refresh_per_second=4) as live:

            def tell(now: int) -> None:
                for name in ("worker", "outcomes", "learn"):
                    self._children.check(name)
                moment = datetime.fromtimestamp(now / 1000, UTC)
                view.note = f"{moment:%a %H:%M} on the site; shown {sum(voice.shown.values()):,}"
                view.refresh()
                live.update(view)

            voice.play(milliseconds(HISTORY + 1), pace, tell)
            self._settled(view, voice.sent - before)
            self._intentflow("policy", "kill")
            voice.play(milliseconds(HISTORY + 2), AFTER_S, tell)
            self._settled(view, voice.sent - before)
        return view

    def _settled(self, view: View, sent: int) -> None:
        """Waits until the worker is done with all that was sent since it began."""
        end = time.monotonic() + 60
        while view.figures.accounted < sent and time.monotonic() < end:
            self._children.check("worker")
            time.sleep(0.2)
            view.refresh()

    def _effect(self) -> Path:
        self._say(
            "Outcomes, and the effect report", "intentflow outcomes --until-end --close; intentflow effect"
        )
        self._intentflow("outcomes", "--until-end", "--close")
        self._intentflow("learn", "--until-end")
        self._intentflow("archive", "--until-end")
        span = ["--from", day(HISTORY), "--to", day(HISTORY + 1), "--before", str(HISTORY)]
        policy = ["--policy", str(DEPLOY / "sim.policy.yaml"), "-o", str(FOLDER / "effect")]
        self._intentflow("effect", *span, *policy)
        return FOLDER / "effect" / "effect.html"

    def _truth(self, voice: Voice, view: View) -> None:
        book = self._site.book
        table = Table(title="what is true, which only a made-up shop can say", title_justify="left", box=None)
        for head in ("", "published", "shown", "margin it caused"):
            table.add_column(head, justify="left" if not head else "right")
        for kind in sorted(voice.heard):
            margin = sum(gain for name, gain in book.by_action.items() if name.startswith(kind))
            table.add_row(kind, f"{voice.heard[kind]:,}", f"{voice.shown[kind]:,}", f"{margin:+,.2f}")
        table.add_row("all", f"{voice.heard.total():,}", f"{voice.shown.total():,}", f"{book.margin:+,.2f}")
        self._console.print(table)
        self._console.print(
            f"{book.conversions:+.1f} orders expected beyond those that would have been; "
            f"{view.figures.predictions:,.0f} predictions",
            highlight=False,
        )


def milliseconds(days: int) -> int:
    """The midnight so many days after START, ms since 1970 UTC."""
    return int(START.timestamp() * 1000) + days * DAY_MS


def day(days: int) -> str:
    """The same as text."""
    return iso(datetime.fromtimestamp(milliseconds(days) / 1000, UTC))


def main() -> int:
    return played("sim", lambda: Sim(fast()).run())


if __name__ == "__main__":
    sys.exit(main())
