"""The trials of a search, in Optuna's SQLite storage: killed at any moment, the search goes on where it was.

    space, base recipe ─► ask ─► train, the held-out loss after every epoch ─► go on or prune ─► tell ─► best.yaml

A trial that was running when the search was killed, or when its time was over, goes back to the queue with its values.
"""

from __future__ import annotations

import fcntl
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.replay import recipes
from models.search.space import Space

if TYPE_CHECKING:
    import optuna

    from models.replay.train import Epoch, Recipe

Method = Literal["tpe", "random", "grid"]
Pruner = Literal["median", "hyperband", "none"]
METHODS: tuple[Method, ...] = ("tpe", "random", "grid")
PRUNERS: tuple[Pruner, ...] = ("median", "hyperband", "none")
Tell = Callable[["Epoch"], None]
# Trains a recipe; calls Tell after every epoch, which may raise.
Train = Callable[["Recipe", Tell], object]

STARTUP_TRIALS = 5  # never pruned by the median: there must be something to compare with
BEST_FILE = "best.yaml"
_FILLED = "filled"  # user attribute of the study: its queue was filled
_PUT_BACK = "put back"  # user attribute of the study: numbers of the trials that do not count


class SearchProblem(Exception):
    """A search that cannot go on; the message says what to do."""


class _Over(Exception):
    """The budget of time is used up."""


class _Diverged(Exception):
    """The loss is no finite number."""


@dataclass(frozen=True)
class Plan:
    """How to search. trials: most in the whole study (a grid has all its points); minutes: of this call, None = no bound."""

    method: Method = "tpe"
    pruner: Pruner = "median"
    trials: int = 50
    minutes: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """One line of the result. state: complete, pruned, failed. loss: the lowest held-out loss, None when there is none."""

    number: int
    state: str
    loss: float | None
    epochs: int
    seconds: float
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """trials: best first, then those that were pruned or failed. recipe: of the best; file: where it was written."""

    trials: tuple[Trial, ...]
    recipe: Recipe
    file: Path


def search(
    folder: Path,
    name: str,
    space: Space,
    base: Recipe,
    plan: Plan,
    about: Mapping[str, Any],
    train: Train,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
    at_once: int = 1,
) -> Found:
    """Begins the study `name` under `folder`, or goes on with it. about: what else makes trials comparable (the data).
    at_once: trials, in threads of this process: `train` should do its work elsewhere.

    Raises SearchProblem when the study was begun with something else, is in use, or no trial was finished.
    """
    with _study(folder / name, name, plan, base, space) as study:
        _same(study, {**about, "space": str(space), "base": str(recipes.values(base)), "method": plan.method})
        _put_back_running(study, say)
        runner = _Runner(study, space, base, plan, train, say, clock)
        runner.fill_queue()
        runner.run(at_once)
        return _found(study, base, folder / name / BEST_FILE)


class _Runner:
    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        base: Recipe,
        plan: Plan,
        train: Train,
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._study, self._space, self._base, self._plan = study, space, base, plan
        self._train, self._say, self._clock = train, say, clock
        self._ends = math.inf if plan.minutes is None else clock() + 60 * plan.minutes
        self._turn = threading.Lock()

    def fill_queue(self) -> None:
        """A new study begins with every point of the grid, or with the base recipe where the space holds it.

        Killed on the way, it goes on: what is queued already is left out.
        """
        if self._study.user_attrs.get(_FILLED):
            return
        values = recipes.values(self._base)
        if self._plan.method == "grid":
            for point in self._space.grid():
                self._study.enqueue_trial(point, skip_if_exists=True)
        elif self._space.holds(values):
            base = {name: values[name] for name in self._space.dimensions}
            self._study.enqueue_trial(base, skip_if_exists=True)
        self._study.set_user_attr(_FILLED, True)

    def run(self, at_once: int) -> None:
        if at_once == 1:
            self._loop()
            return
        with ThreadPoolExecutor(at_once, "trials") as threads:
            loops = [threads.submit(self._loop) for _ in range(at_once)]
            try:
                for loop in as_completed(loops):
                    loop.result()
            except BaseException:
                self._ends = -math.inf  # the others end with their epoch, and go back to the queue
                raise

    def _loop(self) -> None:
        while (asked := self._ask()) is not None:
            trial, recipe = asked
            try:
                self._one(trial, recipe)
            except _Over:
                with self._turn:
                    _put_back(self._study, trial.number)
                self._say(f"  time is over: trial {trial.number} goes back to the queue")
            except KeyboardInterrupt:
                _put_back(self._study, trial.number)
                raise

    def _ask(self) -> tuple[optuna.Trial, Recipe] | None:
        """The next trial; in turn, so that the sampler's chance goes by their number."""
        with self._turn:
            if self._clock() >= self._ends or not self._left():
                return None
            trial = self._study.ask()
            values = self._space.suggest(trial)
            return trial, recipes.changed(self._base, values, f"trial {trial.number}")

    def _left(self) -> bool:
        from optuna.trial import TrialState

        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        begun = (*(state for state in TrialState if state.is_finished()), TrialState.RUNNING)
        counted = sum(one.state in begun for one in _counted(self._study))
        return bool(waiting) if self._plan.method == "grid" else counted < self._plan.trials

    def _one(self, trial: optuna.Trial, recipe: Recipe) -> None:
        import optuna

        losses: list[float] = []
        begun = self._clock()

        def tell(epoch: Epoch) -> None:
            if not math.isfinite(epoch.held_out_loss):
                raise _Diverged
            losses.append(epoch.held_out_loss)
            trial.report(epoch.held_out_loss, epoch.number)
            if self._clock() > self._ends:
                raise _Over
            if self._plan.pruner != "none" and trial.should_prune():
                raise optuna.TrialPruned

        state, said = optuna.trial.TrialState.COMPLETE, ""
        try:
            self._train(recipe, tell)
        except optuna.TrialPruned:
            state, said = optuna.trial.TrialState.PRUNED, ", pruned"
        except _Diverged:
            state, said = optuna.trial.TrialState.FAIL, ", diverged"
        except (MemoryError, RuntimeError) as problem:  # torch's for a network that is too large
            state, said = (
                optuna.trial.TrialState.FAIL,
                f", failed ({str(problem).partition(chr(10))[0][:100]})",
            )
        loss = min(losses, default=None)
        trial.set_user_attr("seconds", self._clock() - begun)
        self._study.tell(trial, loss if state is optuna.trial.TrialState.COMPLETE else None, state)
        self._say(f"  trial {trial.number}: held-out loss {_figure(loss)}{said}  {_words(trial.params)}")


@contextmanager
def _study(folder: Path, name: str, plan: Plan, base: Recipe, space: Space) -> Iterator[optuna.Study]:
    try:
        import optuna
    except ImportError:
        raise SearchProblem("searching needs Optuna: install intentflow[learn]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SearchProblem(
                f"study {name} in {folder} is being searched by another process; wait, or name another --study"
            ) from None
        patient = {"connect_args": {"timeout": 60}}  # s: trials that run at once write in turn
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}", engine_kwargs=patient)
        try:
            study = optuna.create_study(
                study_name=name, storage=storage, load_if_exists=True, pruner=_pruner(plan, space, base)
            )
            study.sampler = _sampler(plan, len(study.get_trials(deepcopy=False)))
            yield study
        finally:
            storage.remove_session()


def _sampler(plan: Plan, before: int) -> optuna.samplers.BaseSampler:
    """Seeded anew after a resume, which would else draw the first points once more."""
    import optuna

    if plan.method == "tpe":
        return optuna.samplers.TPESampler(seed=plan.seed + before)
    return optuna.samplers.RandomSampler(seed=plan.seed + before)  # a grid asks it nothing: all is queued


def _pruner(plan: Plan, space: Space, base: Recipe) -> optuna.pruners.BasePruner:
    import optuna

    if plan.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1)
    if plan.pruner == "hyperband":
        asked = space.dimensions.get("epochs")
        most = base.epochs if asked is None else int(max(asked.points("epochs")))
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _same(study: optuna.Study, about: Mapping[str, Any]) -> None:
    """Trials of one study are comparable: same data, same space. SearchProblem names what differs."""
    for name, value in about.items():
        begun = study.user_attrs.get(name)
        if begun is None:
            study.set_user_attr(name, value)
        elif begun != value:
            raise SearchProblem(
                f"study {study.study_name} was begun with {name} {begun}, and this is {value}; "
                "give the same, or name another --study"
            )


def _put_back_running(study: optuna.Study, say: Callable[[str], None]) -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        _put_back(study, trial.number)
        say(f"  trial {trial.number} was cut off: back to the queue")


def _put_back(study: optuna.Study, number: int) -> None:
    """Queue the trial's values once more. The copy first: killed in between, it is tried twice, and not forgotten."""
    from optuna.trial import TrialState

    trial = study.trials[number]
    study.enqueue_trial(trial.params or trial.system_attrs.get("fixed_params", {}))
    study.set_user_attr(_PUT_BACK, [*study.user_attrs.get(_PUT_BACK, ()), number])
    study.tell(number, state=TrialState.FAIL)


def _counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    gone = set(study.user_attrs.get(_PUT_BACK, ()))
    return [one for one in study.get_trials(deepcopy=False) if one.number not in gone]


def _found(study: optuna.Study, base: Recipe, file: Path) -> Found:
    from optuna.trial import TrialState

    finished = [_trial(one) for one in _counted(study) if one.state.is_finished()]
    order = {"complete": 0, "pruned": 1, "failed": 2}
    finished.sort(key=lambda one: (order[one.state], math.inf if one.loss is None else one.loss, one.number))
    if not finished or finished[0].state != "complete":
        states = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        raise SearchProblem(
            f"study {study.study_name}: no trial was finished yet, {states} wait; go on with more --minutes, "
            "or with a smaller --share of the shoppers"
        )
    best = finished[0]
    recipe = recipes.changed(base, best.values, f"trial {best.number}")
    note = f"study {study.study_name}, trial {best.number} of {len(finished)}: held-out loss {_figure(best.loss)}"
    file.write_text(recipes.text(recipe, note), encoding="utf-8")
    return Found(tuple(finished), recipe, file)


def _trial(one: optuna.trial.FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    losses = one.intermediate_values.values()
    return Trial(
        one.number,
        states.get(one.state, "failed"),
        min(losses, default=None),
        len(losses),
        one.user_attrs.get("seconds", 0.0),
        one.params,
    )


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _figure(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}"
