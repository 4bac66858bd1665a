"""What marketing allows, as checked models: hold-out, consent, quiet hours, caps and campaigns.

`policy_document` reads one from YAML; it travels on the compacted topic `policies`, and the worker swaps it between
two batches; `compiled` makes it ready for a release's scores, and `decide` follows it.
"""

from streams.policy.campaign import (
    Campaign,
    CouponCampaign,
    PushCampaign,
    PushPayload,
    RerankCampaign,
    RerankPayload,
    Trigger,
)
from streams.policy.experiment import NEXT
from streams.policy.policy import Policy, unknown_scores
from streams.policy.section import KINDS, PURPOSES, Where

__all__ = [
    "KINDS",
    "NEXT",
    "PURPOSES",
    "Campaign",
    "CouponCampaign",
    "Policy",
    "PushCampaign",
    "PushPayload",
    "RerankCampaign",
    "RerankPayload",
    "Trigger",
    "Where",
    "unknown_scores",
]
