"""`intentflow replay search`: tries recipes on the training interval and writes the best one to a file.

intentflow replay search --from 2017-01-01 --to 2017-08-01 --space space.yaml --study first --minutes 60
intentflow replay run … --recipe .intentflow/searches/first/best.yaml
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from models.replay import recipes
from models.replay.dataset import Sequences
from models.replay.job import Job
from models.replay.shards import Shards
from models.search import space
from models.search.found import Found
from models.search.plan import METHODS, PRUNERS, Plan, SearchProblem
from models.search.space import Space
from models.search.trials import Tell, search

if TYPE_CHECKING:
    from models.replay.train import Epoch, Recipe

SHOWN = 20


def add(verbs: Any) -> argparse.ArgumentParser:
    """The verb's options; those of the interval are added by the caller."""
    about = "try recipes on the training interval; what comes behind --to is never looked at"
    verb: argparse.ArgumentParser = verbs.add_parser("search", help=about, description=about)
    verb.add_argument(
        "--space", required=True, metavar="FILE", help="YAML: the values to try, by field of the recipe"
    )
    verb.add_argument("--study", required=True, metavar="NAME", help="the same name goes on where it was")
    verb.add_argument("--method", choices=METHODS, default="tpe", help="tpe is Bayesian (default)")
    verb.add_argument(
        "--pruner", choices=PRUNERS, default="median", help="ends bad trials early; default: median"
    )
    verb.add_argument(
        "--trials", type=int, default=50, help="most trials of the study; a grid has all its points"
    )
    verb.add_argument("--minutes", type=float, help="time of this call; default: until the trials are done")
    verb.add_argument(
        "--recipe", metavar="FILE", help="the recipe that the space varies; default: the usual one"
    )
    verb.add_argument("--fast", action="store_true", help="vary the recipe for few shoppers")
    return verb


def run(given: argparse.Namespace, job: Job) -> Found:
    """Searches, and prints the trials. Raises SearchProblem, SpaceProblem or RecipeProblem."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given.study) or given.study.startswith("."):
        raise SearchProblem(
            f"--study is {given.study!r}: give 1 to 64 letters, digits, dots, dashes or underscores"
        )
    if given.trials < 1 or (given.minutes is not None and not given.minutes > 0):
        raise SearchProblem("--trials and --minutes must be above 0")
    asked, base = space.read(given.space), job.chosen()
    plan = Plan(given.method, given.pruner, given.trials, given.minutes, job.seed)
    with job.opened(for_each_worker=False) as events:
        found = _searched(job, given.study, asked, base, plan, events)
    job.record.figures({"held_out_loss": found.trials[0].loss})
    Console(width=None if sys.stdout.isatty() else 140).print(table(found))
    job.say(f"best recipe in {found.file}; next: intentflow replay run … --recipe {found.file}")
    return found


def _searched(
    job: Job, study: str, asked: Space, base: Recipe, plan: Plan, events: Sequences | Shards
) -> Found:
    train = job.machines.trials(events, job.train_until, job.seed)
    job.record.parameters({"study": study, "method": plan.method, "pruner": plan.pruner})

    def one(recipe: Recipe, tell: Tell) -> object:
        with job.record.child(study) as record:
            record.parameters({"recipe": recipes.values(recipe), "seed": job.seed})

            def told(epoch: Epoch) -> None:
                record.epoch(epoch)
                tell(epoch)

            return train(recipe, told)

    at_once = job.machines.processes()
    job.say(
        f"search: {plan.method}, pruner {plan.pruner}, learns from {job.learnt}"
        + (f", {at_once} trials at once" if at_once > 1 else "")
    )
    count = events.events if isinstance(events, Shards) else len(events)
    about = {"data": f"{job.learnt}, share {job.share or 1:g}, seed {job.seed}, {count} events"}
    folder = Path(job.settings.searches_dir)
    return search(folder, study, asked, base, plan, about, one, job.say, at_once=at_once)


def table(found: Found) -> Table:
    """The best trials, and how many there were."""
    count = len(found.trials)
    title = f"{count} trials" + (f", the best {SHOWN}" if count > SHOWN else "")
    made = Table(title=title, title_justify="left")
    for name in ("trial", "state", "held-out loss", "epochs", "seconds"):
        made.add_column(name, justify="left" if name == "state" else "right")
    names = list(found.trials[0].values)
    for name in names:
        made.add_column(name, justify="right")
    for one in found.trials[:SHOWN]:
        made.add_row(
            str(one.number),
            one.state,
            "–" if one.loss is None else f"{one.loss:.4f}",
            str(one.epochs),
            f"{one.seconds:.1f}",
            *(_value(one.values.get(name)) for name in names),
        )
    return made


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
