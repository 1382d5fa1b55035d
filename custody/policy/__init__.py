"""The policy: what may leave a vault. Deny by default; docs/policy.md has the semantics.

`Policy` judges actions by a document (`read_rulebook`) or by the settings' small form of one. `Facts` is what it may be
told besides the bytes, `Decision` what it answers.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.policy.action import (
        Action,
        Kind,
        Proposal,
        read_authorization,
        read_message,
        read_proposal,
        read_typed_data,
        read_withdrawal,
    )
    from custody.policy.bundle import Admins, Bundle, load_admins, load_bundle
    from custody.policy.decision import LIFETIME_S, Decision, Requirement, Spent
    from custody.policy.evaluator import Policy
    from custody.policy.facts import NOTHING_KNOWN, Facts, Price, Screened, Simulation
    from custody.policy.judge import Judge
    from custody.policy.limits import Refusal
    from custody.policy.promises import check_promises
    from custody.policy.rests import Rests
    from custody.policy.rulebook import Rulebook, load_rulebook, read_rulebook, rulebook_of
    from custody.policy.settings import AllowedContract, AssetLimits, PolicySettings
    from custody.policy.source import BundlePolicy
else:
    from runtime.fronts import lazily

    _HOMES = {
        "custody.policy.action": (
            "Action Kind Proposal read_authorization read_message read_proposal read_typed_data read_withdrawal"
        ),
        "custody.policy.bundle": "Admins Bundle load_admins load_bundle",
        "custody.policy.decision": "LIFETIME_S Decision Requirement Spent",
        "custody.policy.evaluator": "Policy",
        "custody.policy.facts": "NOTHING_KNOWN Facts Price Screened Simulation",
        "custody.policy.judge": "Judge",
        "custody.policy.limits": "Refusal",
        "custody.policy.promises": "check_promises",
        "custody.policy.rests": "Rests",
        "custody.policy.rulebook": "Rulebook load_rulebook read_rulebook rulebook_of",
        "custody.policy.settings": "AllowedContract AssetLimits PolicySettings",
        "custody.policy.source": "BundlePolicy",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "LIFETIME_S",
    "NOTHING_KNOWN",
    "Action",
    "Admins",
    "AllowedContract",
    "AssetLimits",
    "Bundle",
    "BundlePolicy",
    "Decision",
    "Facts",
    "Judge",
    "Kind",
    "Policy",
    "PolicySettings",
    "Price",
    "Proposal",
    "Refusal",
    "Requirement",
    "Rests",
    "Rulebook",
    "Screened",
    "Simulation",
    "Spent",
    "check_promises",
    "load_admins",
    "load_bundle",
    "load_rulebook",
    "read_authorization",
    "read_message",
    "read_proposal",
    "read_rulebook",
    "read_typed_data",
    "read_withdrawal",
    "rulebook_of",
]
