"""The policy: what may leave a vault. Deny by default."""

from custody.policy.decision import LIFETIME_S, Decision, Requirement, Spent
from custody.policy.evaluator import Policy
from custody.policy.promises import check_promises
from custody.policy.proposal import Proposal
from custody.policy.settings import AllowedContract, AssetLimits, PolicySettings

__all__ = [
    "LIFETIME_S",
    "AllowedContract",
    "AssetLimits",
    "Decision",
    "Policy",
    "PolicySettings",
    "Proposal",
    "Requirement",
    "Spent",
    "check_promises",
]
