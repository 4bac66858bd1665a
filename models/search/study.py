"""A study in Optuna's SQLite storage: killed at any moment, the search goes on where it was.

A trial that was running when the search was killed, or when its time was over, goes back to the queue with its values.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.search.plan import Plan, SearchProblem
from models.search.space import Space

if TYPE_CHECKING:
    import optuna

    from models.replay.train import Recipe

STARTUP_TRIALS = 5  # never pruned by the median: there must be something to compare with
_PUT_BACK = "put back"  # user attribute of the study: numbers of the trials that do not count


@contextmanager
def opened(folder: Path, name: str, plan: Plan, base: Recipe, space: Space) -> Iterator[optuna.Study]:
    """Begins the study in the folder, or opens it, and holds it. SearchProblem when another process does."""
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


def check_same(study: optuna.Study, about: Mapping[str, Any]) -> None:
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


def put_back_running(study: optuna.Study, say: Callable[[str], None]) -> None:
    """What was running when the search was killed."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        put_back(study, trial.number)
        say(f"  trial {trial.number} was cut off: back to the queue")


def put_back(study: optuna.Study, number: int) -> None:
    """Queue the trial's values once more. The copy first: killed in between, it is tried twice, and not forgotten."""
    from optuna.trial import TrialState

    trial = study.trials[number]
    study.enqueue_trial(trial.params or trial.system_attrs.get("fixed_params", {}))
    study.set_user_attr(_PUT_BACK, [*study.user_attrs.get(_PUT_BACK, ()), number])
    study.tell(number, state=TrialState.FAIL)


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """All trials but those that were put back."""
    gone = set(study.user_attrs.get(_PUT_BACK, ()))
    return [one for one in study.get_trials(deepcopy=False) if one.number not in gone]
