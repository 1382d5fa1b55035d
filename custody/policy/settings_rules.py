"""`[custody.policy]` as rules: the small form says nothing that a document could not."""

from __future__ import annotations

from typing import Any, Final

from custody.policy.rulebook import Rulebook, rulebook_of
from custody.policy.settings import PolicySettings

_BOUNDED_BY_ALLOWANCES: Final = frozenset({"increaseLiquidity"})
"""Methods that take what the caller has allowed and no more, of tokens their bytes do not name."""


def rulebook_of_settings(settings: PolicySettings) -> Rulebook:
    """Compile the small form.

    Recipients and spenders are denied unless they are listed, each contract with its methods is a rule that allows, and
    so is the chain's own coin. The rules' ids are the names that refusals carry.
    """
    amounts = [
        {
            "asset": asset,
            "per_transaction": limits.per_transaction_raw,
            "approval": limits.approval_raw,
            "windows": [{"window": "24h", "amount": limits.per_day_raw}],
        }
        for asset, limits in sorted(settings.assets.items())
    ]
    permits = sorted(settings.documents)
    but_permits = {"unless": {"method": permits}} if permits else {}
    rules: list[dict[str, Any]] = [
        *(
            {"id": name, "effect": "deny", "note": note, "when": {"kind": [kind]}, **unless}
            for name, kind, note, unless in (
                ("message", "message", "this policy signs no personal messages", {}),
                ("typed-data", "typed-data", "this policy signs no such typed data", but_permits),
                ("delegation", "authorization-7702", "no account runs the code of another", {}),
            )
        ),
        {
            "id": "recipient",
            "effect": "deny",
            "note": "the recipient is neither the sender nor allow-listed",
            "when": {"kind": ["transfer", "swap", "contract-call"]},
            "unless": {"recipient": ["self", *settings.recipients]},
        },
        {
            "id": "spender",
            "effect": "deny",
            "note": "the spender is not allow-listed",
            "when": {"kind": ["approve", *(["typed-data"] if settings.documents else [])]},
            **({"unless": {"spender": list(settings.spenders)}} if settings.spenders else {}),
        },
        *(
            {
                "id": f"contract:{contract.address}",
                "effect": "allow",
                "when": {"contract": [contract.address], "method": sorted(contract.methods)},
                "limits": {"amounts": amounts},
            }
            for contract in settings.contracts
            if contract.methods
        ),
        *(
            {
                "id": "documents",
                "effect": "allow",
                "when": {"kind": ["typed-data"], "chain": [settings.chain_id], "method": permits},
                "limits": {"amounts": amounts},
            }
            for _ in permits[:1]
        ),
        *(
            {
                "id": f"named:{contract.address}",
                "effect": "allow",
                "note": "its bytes do not say what it spends; the spender's allowances do",
                "when": {
                    "kind": ["described-call"],
                    "contract": [contract.address],
                    "method": sorted(contract.methods & _BOUNDED_BY_ALLOWANCES),
                },
            }
            for contract in settings.contracts
            if contract.methods & _BOUNDED_BY_ALLOWANCES
        ),
        {
            "id": "coins",
            "effect": "allow",
            "when": {"kind": ["transfer"], "contract": ["none"]},
            "limits": {"amounts": amounts},
        },
    ]
    return rulebook_of(
        {
            "version": 1,
            "chains": {
                settings.chain_id: {
                    "gas_limit_max": settings.gas_limit_max,
                    "fee_per_gas_wei_max": settings.fee_per_gas_wei_max,
                    "gas_cost_wei_max": settings.gas_cost_wei_max,
                    "deadline_s_max": settings.deadline_s_max,
                }
            },
            **({"statements": sorted(settings.statements)} if settings.statements else {}),
            "rules": rules,
        },
        "the settings' policy",
    )
