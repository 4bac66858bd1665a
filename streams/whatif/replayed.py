"""The decisions of a policy over a past: the real `decide`, with a contact book that lies in memory and goes again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams.budgets import Budgets
from streams.choosing import Deciding
from streams.compiled import CompiledPolicy
from streams.contacts import ContactBook
from streams.decide import Decision, decide, ring
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy
from streams.timers import Timers
from streams.whatif.past import Past


def replay(
    past: Past, policy: Policy, settings: Settings, learnt: Mapping[str, Learnt] | None = None
) -> list[Decision]:
    """What the policy decides for every candidate, as if it had been in force from the interval's begin on.

    learnt: what the arms of its campaigns are dealt by, where they are learnt; as it is now, not as it was then.
    What had really been sent before is counted by caps and cooldowns; from then on only what this policy sends is.
    Budgets begin unspent, each partition with its share. What shoppers did stays what they did; what waits for a time
    within the interval rings. Raises ValueError when the policy names a score that a release of then lacked.
    """
    compiled = {
        name: CompiledPolicy(policy, scored.tasks, None, learnt)
        for name, scored in past.scored.items()
        if scored.tasks
    }
    decisions: list[Decision] = []
    batches = past.batches(policy.max_age_minutes is not None)
    for partition, parts in groupby(batches, key=lambda part: part[0]):
        book = _book(past, partition, next(iter(compiled.values())), settings)
        for _, scored, clock, now in parts:
            rules = compiled[scored.release]
            decisions += decide(scored, book, rules, clock, now)
            book.end()
        decisions += ring(Deciding(book, rules, clock), past.interval.stop, None)
    return decisions


def _book(past: Past, partition: int, rules: CompiledPolicy, settings: Settings) -> ContactBook:
    """The contacts of a partition at the interval's begin."""
    book = ContactBook(
        Codec(FileRegistry(), "contact"),
        lambda users: [None] * len(users),
        capacity=1 << 40,
        timers=Timers(lateness=round(settings.timer_lateness_s * 1000)),
        budgets=Budgets(None, partition, settings.partitions),
    )
    for user, entry in past.sent.get(partition, ()):
        book.put(user, book.get(user).after(entry, rules.reach))
    book.end()
    return book


def rehearse(past: Past, policy: Policy, settings: Settings) -> list[Decision]:
    """The same if chance left nobody alone: no hold-out, and control arms get their campaign as it is written.

    So every shopper has the moments at which the policy would act; which of them it did act at was left to chance.
    """
    return replay(past, without_chance(policy), settings)


def without_chance(policy: Policy) -> Policy:
    """The policy without hold-out, its arms that are nothing made to act; arms stay as they are dealt."""
    return policy.model_copy(
        update={
            "holdout": policy.holdout.model_copy(update={"share": 0.0}),
            "campaigns": [_acting(campaign) for campaign in policy.campaigns],
        }
    )


def _acting(campaign: Campaign) -> Campaign:
    if campaign.experiment is None:
        return campaign
    arms = [arm.model_copy(update={"nothing": False}) for arm in campaign.experiment.arms]
    return campaign.model_copy(update={"experiment": campaign.experiment.model_copy(update={"arms": arms})})
