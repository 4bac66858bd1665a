"""A policy made ready for releases with some tasks: look-up tables instead of names, milliseconds instead of hours."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.events import DEVICES, EVENT_TYPES
from streams.catalogue import Catalogue
from streams.contacts import Sent
from streams.interventions import Moment
from streams.learning.dealing import Dealer, Drawn
from streams.learning.state import Learnt
from streams.local_time import WEEKDAYS, Stretch, minute_of_day
from streams.policy import KINDS, Campaign, Policy, unknown_scores
from streams.policy.experiment import Experiment
from streams.policy.when import Hours
from streams.policy.whom import Audience
from streams.timers import Timer

_HOUR, _MINUTE = 3_600_000, 60_000  # ms


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked for one campaign, beside its trigger and value; ms for hours.

    consent: the default, whether a shopper who said nothing may be reached. audience, first_day and the like are None
    where the campaign does not restrict them.
    """

    consent: bool
    cooldown: int
    kind_cooldown: int
    after_purchase: int
    quiet: tuple[Stretch, ...]
    audience: Audience | None
    devices: frozenset[int] | None
    users: re.Pattern[str] | None
    first_day: str | None
    last_day: str | None
    hours: tuple[Stretch, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """A campaign as one arm has it. propensity: probability of the arm; arm is empty without an experiment.

    learned_version: of what was learnt and drawn by, 'shares' for the policy's; '' where the arm is the shopper's.
    """

    campaign: Campaign
    arm: str = ""
    propensity: float = 1.0
    nothing: bool = False
    learned_version: str = ""

    @property
    def drawn(self) -> Drawn | None:
        """The draw, where one was made for the moment."""
        return Drawn(self.arm, self.propensity, self.learned_version) if self.learned_version else None


class CompiledPolicy:
    """See the module. Raises ValueError when the policy names a score that the tasks lack."""

    def __init__(
        self,
        policy: Policy,
        tasks: Sequence[str],
        catalogue: Catalogue | None = None,
        learnt: Mapping[str, Learnt] | None = None,
    ) -> None:
        """catalogue: what lists may show; None: every item. learnt: of campaigns whose arms are learnt, by their id; what
        does not fit is not used, see `misfits`."""
        faults = [f"{'.'.join(map(str, path))}: {message}" for path, message in unknown_scores(policy, tasks)]
        if faults:
            raise ValueError(f"policy {policy.name} does not fit the release: {'; '.join(faults)}")
        self.policy, self.catalogue = policy, catalogue
        self.version = policy.version
        self.tasks = tuple(tasks)
        self.campaigns: list[Campaign] = list(policy.campaigns)
        self.by_id = {campaign.id: campaign for campaign in self.campaigns}
        self.types = np.zeros((len(self.campaigns), 256), np.bool_)
        for at, campaign in enumerate(self.campaigns):
            self.types[at, [EVENT_TYPES.index(name) for name in campaign.trigger.event_types]] = True
        self.zone = policy.time_zone
        self.max_age = None if policy.max_age_minutes is None else round(policy.max_age_minutes * _MINUTE)
        self.bots = patterns(policy.bots.user_ids)
        self.bot_properties = frozenset(policy.bots.properties)
        self.cooldowns = {campaign.id: round(campaign.cooldown_hours * _HOUR) for campaign in self.campaigns}
        self.kind_cooldowns: dict[str, int] = {
            kind: round(getattr(policy.kind_cooldowns, kind) * _HOUR) for kind in KINDS
        }
        self.rules = {campaign.id: self._rules(campaign) for campaign in self.campaigns}
        self.variants = {campaign.id: _variants(campaign) for campaign in self.campaigns}
        self._dealers = {
            campaign.id: Dealer(campaign, (learnt or {}).get(campaign.id), self.tasks)
            for campaign in self.campaigns
            if campaign.learning is not None
        }
        self.learnt = {name: dealer.version for name, dealer in self._dealers.items()}
        self.misfits = {name: dealer.misfit for name, dealer in self._dealers.items() if dealer.misfit}
        caps = policy.frequency_caps
        self.caps = [(cap.count, round(cap.hours * _HOUR), frozenset(cap.kinds)) for cap in caps]
        self._kind_reach: dict[str, int] = {
            kind: max((window for _, window, kinds in self.caps if kind in kinds), default=0)
            for kind in KINDS
        }

    def reach(self, sent: Sent) -> int:
        """The longest window, ms, in which a rule of this policy counts the entry; 0: none does."""
        return max(
            self._kind_reach.get(sent.kind, 0),
            self.kind_cooldowns.get(sent.kind, 0),
            self.cooldowns.get(sent.campaign, 0),
        )

    def variant(self, campaign: Campaign, user_id: str) -> Variant:
        """The campaign as this shopper's arm has it."""
        experiment = campaign.experiment
        if experiment is None:
            return self.variants[campaign.id][0]
        place = 100 * fraction(f"arm:{experiment.salt}:{user_id}")
        for arm, variant in zip(experiment.arms, self.variants[campaign.id], strict=True):
            place -= arm.share
            if place < 0:
                return variant
        return self.variants[campaign.id][-1]  # shares that add up to a hair less than 100

    def dealt(self, campaign: Campaign, moment: Moment, zone: str, waited: Timer | None = None) -> Variant:
        """The campaign as it is for this moment: by the shopper's arm, or, where arms are learnt, by the event's.

        zone: of the shopper's clock. waited: the message whose hour has come. What was drawn for it stands, see `has_arm`;
        where nothing was, its arm was the shopper's and is so still.
        """
        drawn = waited.drawn if waited else None
        if drawn is None:
            dealer = self._dealers.get(campaign.id)
            if dealer is None or waited:
                return self.variant(campaign, moment.user_id)
            place = fraction(dealer.seed(moment.event_id))
            drawn = dealer.draw(place, moment.scores, moment.event_time, zone)
        found = next(one for one in self.variants[campaign.id] if one.arm == drawn.arm)
        return replace(found, propensity=drawn.propensity, learned_version=drawn.learned_version)

    def chances(self, campaign: str, scores: Mapping[str, float], time: int, zone: str) -> dict[str, float]:
        """Of each arm of a campaign whose arms are learnt, in a moment with these scores; ms and zone as in `dealt`."""
        return self._dealers[campaign].chances(scores, time, zone)

    def has_arm(self, campaign: Campaign, drawn: Drawn) -> bool:
        """Whether what was drawn for a message that waits can still be sent: the arm is there, and is not nothing."""
        return any(one.arm == drawn.arm and not one.nothing for one in self.variants[campaign.id])

    def _rules(self, campaign: Campaign) -> Rules:
        audience, schedule, policy = campaign.audience, campaign.schedule, self.policy
        default = (
            policy.consent.service
            if campaign.purpose == "service"
            else getattr(policy.consent, campaign.kind)
        )
        quiet = [one for one in policy.quiet_hours if campaign.kind in one.kinds]
        return Rules(
            consent=default == "opt_out",
            cooldown=self.cooldowns[campaign.id],
            kind_cooldown=self.kind_cooldowns[campaign.kind],
            after_purchase=round(campaign.cooldown_after_purchase_hours * _HOUR),
            quiet=() if campaign.in_quiet_hours == "send" else stretches(quiet),
            audience=None if audience == Audience() else audience,
            devices=None if audience.devices is None else frozenset(map(DEVICES.index, audience.devices)),
            users=patterns(audience.user_ids or ()),
            first_day=schedule.first_day,
            last_day=schedule.last_day,
            hours=stretches(schedule.hours or ()),
            dry_run=policy.dry_run or campaign.dry_run,
        )


def fraction(text: str) -> float:
    """The first 8 bytes of the text's SHA-256 as a fraction of 2^64."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2.0**64


def stretches(hours: Sequence[Hours]) -> tuple[Stretch, ...]:
    """Hours of a policy, ready for the clock."""
    return tuple(
        Stretch(
            minute_of_day(one.start), minute_of_day(one.end), frozenset(map(WEEKDAYS.index, one.weekdays))
        )
        for one in hours
    )


def patterns(globs: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for all patterns of user ids, None for none."""
    return (
        re.compile("|".join(fnmatch.translate(glob.replace("[", "[[]")) for glob in globs)) if globs else None
    )


def _variants(campaign: Campaign) -> list[Variant]:
    experiment: Experiment | None = campaign.experiment
    if experiment is None:
        return [Variant(campaign)]
    return [
        Variant(campaign.in_arm(arm.payload, arm.name), arm.name, arm.share / 100, arm.nothing)
        for arm in experiment.arms
    ]
