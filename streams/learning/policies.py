"""What the published versions of a policy offered: an outcome is learnt where its arms were those of now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from streams.learning.state import offer
from streams.policy import Campaign, Policy
from streams.policy_document import PolicyProblem, parse

log = logging.getLogger(__name__)


class Policies:
    """Versions of the policies of one name, and the one in force: the latest that can be used."""

    def __init__(self) -> None:
        self._documents: dict[str, str] = {}  # by version
        self._offers: dict[str, dict[str, str] | None] = {}  # by version, then campaign; None: cannot be read
        self.in_force: Policy | None = None

    def follow(self, rows: Iterable[Mapping[str, Any]], in_force: Mapping[str, Any] | None) -> None:
        """Take rows of schemas/policy.avsc, all that the topic has of this policy, and the one in force."""
        self._documents |= {row["version"]: row["document"] for row in rows}
        if in_force is None or (self.in_force and self.in_force.version == in_force["version"]):
            return
        try:
            self.in_force = parse(in_force["document"], f"policy {in_force['version']}")
        except PolicyProblem as problem:
            log.error("refused, the last good policy stays: %s", problem)

    def learning(self) -> dict[str, Campaign]:
        """Campaigns in force whose arms are learnt, by id."""
        campaigns = self.in_force.campaigns if self.in_force else ()
        return {one.id: one for one in campaigns if one.learning is not None}

    def knows(self, version: str) -> bool:
        """Whether the version was published."""
        return version in self._documents

    def offered(self, version: str, campaign: str) -> str | None:
        """Digest of what the campaign's arms were in a version, see `offer`; None where that is not known."""
        if version not in self._offers and version in self._documents:
            try:
                policy = parse(self._documents[version], f"policy {version}")
                self._offers[version] = {one.id: offer(one) for one in policy.campaigns}
            except PolicyProblem:  # checked by other rules when it was published
                self._offers[version] = None
        return (self._offers.get(version) or {}).get(campaign)
