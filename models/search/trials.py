"""The trials of a search.

space, base recipe ─► ask ─► train, the held-out loss after every epoch ─► go on or prune ─► tell ─► best.yaml
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.replay import recipes
from models.search.found import Found, figure, found
from models.search.plan import Plan
from models.search.space import Space
from models.search.study import check_same, counted, opened, put_back, put_back_running

if TYPE_CHECKING:
    import optuna

    from models.replay.train import Epoch, Recipe

Tell = Callable[["Epoch"], None]
# Trains a recipe; calls Tell after every epoch, which may raise.
Train = Callable[["Recipe", Tell], object]

BEST_FILE = "best.yaml"
_FILLED = "filled"  # user attribute of the study: its queue was filled


class _Over(Exception):
    """The budget of time is used up."""


class _Diverged(Exception):
    """The loss is no finite number."""


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
    with opened(folder / name, name, plan, base, space) as study:
        check_same(
            study, {**about, "space": str(space), "base": str(recipes.values(base)), "method": plan.method}
        )
        put_back_running(study, say)
        runner = _Runner(study, space, base, plan, train, say, clock)
        runner.fill_queue()
        runner.run(at_once)
        return found(study, base, folder / name / BEST_FILE)


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
                    put_back(self._study, trial.number)
                self._say(f"  time is over: trial {trial.number} goes back to the queue")
            except KeyboardInterrupt:
                put_back(self._study, trial.number)
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
        tried = sum(one.state in begun for one in counted(self._study))
        return bool(waiting) if self._plan.method == "grid" else tried < self._plan.trials

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
        self._say(f"  trial {trial.number}: held-out loss {figure(loss)}{said}  {_words(trial.params)}")


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )
