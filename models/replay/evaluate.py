"""Holds predictions against what shoppers then did, beside a constant, recency and frequency, and LightGBM on aggregates.

predictions (published, or scored offline) ─┐
events: what was known, what then happened ─┴─► rows whose horizon ended within the data ─► Report

Used alike by the replay job before a release and by the demo on what the worker published. Baselines, thresholds and
calibrations are fitted on the split's learnt and tuning parts only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from models import survival
from models.architecture import Calibration
from models.evaluation import asked, recalibrated
from models.evaluation.asked import BASELINE, CONSTANT, MODEL, Asked, AskedAmount, NotAsked
from models.evaluation.judged import judge, judge_amount, judge_names, judge_types
from models.evaluation.report import Report
from models.evaluation.slices import deciles
from models.evaluation.thresholds import choose
from models.featurizer import FeatureSpec
from models.replay import beside, questions
from models.replay.aggregates import Aggregates
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.next_basket import next_categories
from models.replay.next_type import next_type
from models.replay.predicted import Predicted
from models.replay.questions import BUY_DAYS, GRID_DAYS, LAPSE_DAYS, WAIT_DAYS, Rows
from models.replay.redemption import REDEEM_DAYS, Mailings, Redemption, mailings
from models.replay.source import Interval
from models.replay.splits import Part, Split, by_time
from models.tasks import split as kinds_of

Array = npt.NDArray[Any]

_Named = TypeVar("_Named", Asked | NotAsked, AskedAmount)

NEW_DAYS = 90


@dataclass(frozen=True)
class Choices:
    """How to judge. threshold: for every question and predictor, None = the best F1 before what is scored.

    calibration: the release's, to show the scores without it. boosted: whether LightGBM stands beside, if installed. seed:
    of LightGBM; not that of a training, or a release judged again would have other figures beside it.
    """

    threshold: float | None = None
    calibration: Calibration | None = None
    spec: FeatureSpec = field(default_factory=FeatureSpec)
    boosted: bool = True
    seed: int = 0


class Answers(NamedTuple):
    """All that was asked on one split."""

    yes_no: list[Asked | NotAsked]
    amounts: list[AskedAmount]
    names: list[asked.AskedNames]
    types: list[asked.AskedTypes]


def evaluate(
    sequences: Sequences,
    predicted: Predicted,
    fitted_on: Interval,
    scored: Interval,
    redemption: Redemption | None = None,
    choices: Choices | None = None,
) -> Report:
    """The report over moments within `scored`; what happened is known up to its end.

    sequences: all events from `fitted_on.start` to `scored.stop`, also of the time before the predictions: labels and
    baselines come from them. The baselines are fitted on moments and outcomes within `fitted_on`.
    """
    split = by_time(fitted_on, scored)
    return judged([answers(sequences, predicted, split, redemption, choices or Choices())], split)


def judged(folds: Sequence[Answers], split: Split, seed: int = 0) -> Report:
    """The report of what was asked on each fold (often one), as one: every row scored by a model that has not seen it."""
    yes_no, skipped = [], []
    for same in _by_name([one for fold in folds for one in fold.yes_no]):
        found = [one for one in same if isinstance(one, Asked)]
        if found:
            yes_no.append(judge(asked.together(found) if len(folds) > 1 else found[0], seed))
        else:
            skipped += [one for one in same[:1] if isinstance(one, NotAsked)]
    amounts = _by_name([one for fold in folds for one in fold.amounts])
    names = [one for fold in folds for one in fold.names]
    types = [one for fold in folds for one in fold.types]
    return Report(
        split.learn.interval,
        split.score.interval,
        tuple(yes_no),
        tuple(judge_amount(asked.amounts_together(same), seed) for same in amounts),
        judge_names(asked.names_together(names), seed) if names else None,
        tuple(skipped),
        split.about if len(folds) == 1 else split.about.rpartition(":")[0],
        next_type=judge_types(asked.types_together(types), seed) if types else None,
    )


def _by_name(found: Sequence[_Named]) -> list[list[_Named]]:
    """Those of one name together, in the order of their first."""
    names = dict.fromkeys(one.name for one in found)
    return [[one for one in found if one.name == name] for name in names]


def answers(
    sequences: Sequences, predicted: Predicted, split: Split, redemption: Redemption | None, choices: Choices
) -> Answers:
    """Every question's rows with what all predictors say of them."""
    asker = _Asker(sequences, predicted, split, choices)
    yes_no = [asker.buys(days) for days in BUY_DAYS] + [asker.lapses()]
    if redemption is not None:
        yes_no.append(asker.redeems(redemption))
    others = kinds_of(predicted.tasks)
    yes_no += [asker.happens(task) for task in others.chances]
    amounts = [asker.waits(), *(asker.amount(task) for task in others.amounts)]
    names = next_categories(sequences, predicted, split)
    types = next_type(sequences, predicted, split, choices.spec.session_gap_s)
    return Answers(
        yes_no,
        [one for one in amounts if one is not None],
        [] if names is None else [names],
        [] if types is None else [types],
    )


# predictions (N), days elapsed since them (N,) -> scores (N,)
Read = Callable[[Predicted, Array], Array]


class _Asker:
    def __init__(self, sequences: Sequences, predicted: Predicted, split: Split, choices: Choices) -> None:
        self._sequences, self._predicted = sequences, predicted
        self._split, self._choices = split, choices
        self._aggregates = Aggregates(sequences, choices.spec)
        self._boosted = self._aggregates if choices.boosted else None

    def buys(self, days: int) -> Asked | NotAsked:
        return self._ask(
            f"buy_{days}d",
            f"buys again within {days} days of a basket",
            lambda part: questions.buys(self._sequences, part, days),
            lambda said, _: 1 - survival.at_days(said.survival, np.full(len(said), days)),
            exactly=True,
        )

    def lapses(self) -> Asked | NotAsked:
        """The latest prediction is aged to the day that is asked about."""
        return self._ask(
            f"lapse_{LAPSE_DAYS}d",
            f"silent for the next {LAPSE_DAYS} days, asked every {GRID_DAYS}th day",
            lambda part: questions.lapses(self._sequences, part),
            lambda said, elapsed: survival.conditional(
                said.survival, elapsed, np.full(len(said), LAPSE_DAYS)
            ),
            exactly=False,
        )

    def happens(self, task: str) -> Asked | NotAsked:
        """A task with a head of its own."""
        column, gap = self._predicted.tasks.index(task), self._choices.spec.session_gap_s
        return self._ask(
            task,
            questions.title(task),
            lambda part: questions.happens(self._sequences, part, task, gap),
            lambda said, _: said.scores[:, column],
            exactly=True,
        )

    def redeems(self, model: Redemption) -> Asked | NotAsked:
        """A row per household and campaign mailed; what stands beside it is the household's past rate."""
        name, title = "redeem", f"redeems a coupon of a mailed campaign within {REDEEM_DAYS} days"
        if not len(self._predicted):
            return NotAsked(name, title, "there is no prediction at all")
        parts = (self._split.tune, self._split.score)
        tuned, found = (self._mailed(part) for part in parts)
        scores = model.probability(found, self._predicted)
        known = np.isfinite(scores)
        if not known.any():
            return NotAsked(name, title, "no campaign was mailed whose time to redeem was over")
        usual = {MODEL: scores[known], BASELINE: model.past_rate(found)[known]}
        usual[CONSTANT] = np.full(int(known.sum()), model.overall)
        before = model.probability(tuned, self._predicted)
        sure = np.isfinite(before)
        tuning = {MODEL: before[sure], BASELINE: model.past_rate(tuned)[sure]}
        tuning[CONSTANT] = np.full(int(sure.sum()), model.overall)
        rows = Rows(found.shopper[known], found.time[known], found.redeemed[known])
        titles = {BASELINE: "past redemption rate"}
        left_out = int((~known).sum())
        return self._asked(name, title, rows, usual, tuned.redeemed[sure], tuning, left_out, {}, titles)

    def waits(self) -> AskedAmount | None:
        """Days to the next basket, at most WAIT_DAYS: the area under the survival curve up to there."""
        return self._how_much(
            f"wait_{WAIT_DAYS}d",
            f"days to the next basket, counted up to {WAIT_DAYS}",
            "days",
            lambda part: questions.waits(self._sequences, part),
            lambda said: _mean_wait(said.survival),
            WAIT_DAYS,
        )

    def amount(self, task: str) -> AskedAmount | None:
        """An amount with a head of its own."""
        column, gap = self._predicted.tasks.index(task), self._choices.spec.session_gap_s
        return self._how_much(
            task,
            questions.title(task),
            "baskets" if task.startswith("orders") else "money",
            lambda part: questions.happens(self._sequences, part, task, gap),
            lambda said: said.scores[:, column].astype(np.float64),
            np.inf,
        )

    def _how_much(
        self,
        name: str,
        title: str,
        unit: str,
        rows: Callable[[Part], Rows],
        read: Callable[[Predicted], Array],
        most: float,
    ) -> AskedAmount | None:
        asked_of, past = rows(self._split.score), rows(self._split.learn)
        at = self._predicted.latest(asked_of.shopper, asked_of.moment, exactly=True)
        known = at >= 0
        if not known.any() or not len(past.came):
            return None
        judged = Rows(*(column[known] for column in asked_of))
        predicted = {MODEL: read(self._predicted.rows(at[known]))}
        others = beside.for_amounts(self._sequences, past, most)
        predicted |= {predictor: predict(judged) for predictor, predict in others.items()}
        return AskedAmount(name, title, unit, judged.shopper, judged.came, predicted, int((~known).sum()))

    def _ask(
        self,
        name: str,
        title: str,
        rows: Callable[[Part], Rows],
        read: Read,
        exactly: bool,
    ) -> Asked | NotAsked:
        asked_of, past, tuning = rows(self._split.score), rows(self._split.learn), rows(self._split.tune)
        scores, known = self._scores(asked_of, read, exactly)
        why = _obstacle(asked_of, past, known)
        if why:
            return NotAsked(name, title, why)
        judged = Rows(*(column[known] for column in asked_of))
        before, seen = self._scores(tuning, read, exactly)
        tuned = Rows(*(column[seen] for column in tuning))
        usual: dict[str, Array] = {MODEL: scores[known]}
        chosen: dict[str, Array] = {MODEL: before[seen]}
        others = beside.for_outcomes(self._sequences, self._boosted, past, self._choices.seed)
        for predictor, predict in others.items():
            usual[predictor], chosen[predictor] = predict(judged), predict(tuned)
        versions = self._versions(name, judged, tuned, chosen[MODEL], scores[known], read, exactly)
        return self._asked(name, title, judged, usual, tuned.came, chosen, int((~known).sum()), versions)

    def _asked(
        self,
        name: str,
        title: str,
        rows: Rows,
        scores: dict[str, Array],
        came: Array,
        before: dict[str, Array],
        left_out: int,
        versions: dict[str, Array],
        titles: dict[str, str] | None = None,
    ) -> Asked:
        where = self._split.described()
        thresholds = {
            predictor: choose(came, before[predictor], self._choices.threshold, where) for predictor in scores
        }
        return Asked(
            name,
            title,
            rows.shopper,
            rows.came,
            scores,
            {predictor: said >= thresholds[predictor].value for predictor, said in scores.items()},
            {predictor: (threshold,) for predictor, threshold in thresholds.items()},
            left_out,
            self._slices(rows),
            versions,
            titles=titles or {},
        )

    def _scores(self, rows: Rows, read: Read, exactly: bool, plain: bool = False) -> tuple[Array, Array]:
        """The model's scores (N,), and where it had said something (N,). plain: without the release's calibration."""
        at = self._predicted.latest(rows.shopper, rows.moment, exactly)
        known = at >= 0
        said = self._predicted.rows(at[known])
        if plain and self._choices.calibration is not None:
            said = replace(said, survival=recalibrated.as_trained(said.survival, self._choices.calibration))
        elapsed = np.maximum((rows.moment[known] - self._predicted.time[at[known]]) / DAY_MS, 0)
        scores = np.full(len(at), np.nan)
        scores[known] = np.clip(read(said, elapsed), 0.0, 1.0)
        return scores, known

    def _versions(
        self,
        name: str,
        rows: Rows,
        tuned: Rows,
        before: Array,
        scores: Array,
        read: Read,
        exactly: bool,
    ) -> dict[str, Array]:
        found = recalibrated.versions(tuned.came, before, scores)
        if self._choices.calibration is not None and name not in self._predicted.tasks:
            found["as trained"] = self._scores(rows, read, exactly, plain=True)[0]
        return found

    def _slices(self, rows: Rows) -> dict[str, Array]:
        seen = self._sequences.events["time"][self._sequences.bounds[rows.shopper]]
        new = rows.moment - seen < NEW_DAYS * DAY_MS
        return {
            "shopper": np.where(new, f"new: first seen within {NEW_DAYS} days before", "old"),
            "device": self._aggregates.devices(rows.shopper, rows.moment),
            "tenth by events so far": deciles(self._aggregates.events_known(rows.shopper, rows.moment)),
        }

    def _mailed(self, part: Part) -> Mailings:
        found = mailings(self._sequences).within(part.interval.start, part.interval.stop)
        return found.rows(part.of(found.shopper))


def _obstacle(rows: Rows, past: Rows, known: Array) -> str:
    """Why a question cannot be put, or nothing."""
    if not len(rows.came):
        return "no row's time was over before the data end; score a longer interval"
    if not known.any():
        return f"the model said nothing at any of its {len(rows.came):,} moments"
    if not len(past.came):
        return "no row to learn from: no row's time was over before the training interval ended; take a longer one"
    if past.came.all() or not past.came.any():
        return f"all {len(past.came):,} rows to learn from have the same outcome; take a longer interval"
    return ""


def _mean_wait(curve: Array) -> npt.NDArray[np.float64]:
    """Area under S (N, 13) from day 0 to WAIT_DAYS, by the trapezoid rule on whole days."""
    days = np.arange(WAIT_DAYS + 1.0)
    values = np.stack([survival.at_days(curve, np.full(len(curve), day)) for day in days], axis=1)
    return np.asarray(np.trapezoid(values, days, axis=1))
