"""The small form of a policy: `[custody.policy]` in capstan.toml, limits and lists of one chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from chain import parse_address
from domain import Address, InputError
from runtime import SettingsPart

_PERMITS: Final = frozenset({"Permit", "PermitSingle", "PermitBatch", "PermitTransferFrom", "PermitBatchTransferFrom"})


def _raw(value: Any) -> Any:
    # TOML integers end at 64 bits, so wide amounts are written as text; underscores group digits as in TOML.
    if isinstance(value, str):
        digits = value.replace("_", "")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 78:
            raise ValueError("expected a raw amount: decimal digits")
        return int(digits)
    return value


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


def _methods(names: frozenset[str]) -> frozenset[str]:
    # Here, not above: every command reads settings, and few of them have reason to decode calls.
    from custody.calls import known_methods

    if unknown := names - known_methods():
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known_methods()))}")
    return names


def _permits(names: frozenset[str]) -> frozenset[str]:
    if unknown := names - _PERMITS:
        raise ValueError(f"not permits: {', '.join(sorted(unknown))}; there are {', '.join(sorted(_PERMITS))}")
    return names


RawLimit = Annotated[int, BeforeValidator(_raw), Field(ge=0, lt=1 << 256)]
PolicyAddress = Annotated[Address, AfterValidator(_address)]


class AssetLimits(SettingsPart):
    """Limits of one asset, in raw units. What is not given is 0: nothing."""

    per_transaction_raw: RawLimit = 0
    per_day_raw: RawLimit = 0
    """In any 24 hours, over all that was approved and not refused later."""
    approval_raw: RawLimit = 0
    """The largest allowance a spender may be given."""


class AllowedContract(SettingsPart):
    """A contract that may be called, and how."""

    address: PolicyAddress
    methods: Annotated[frozenset[str], AfterValidator(_methods)]


class PolicySettings(SettingsPart):
    """The rules of one chain's vaults. The defaults allow nothing."""

    chain_id: int = Field(gt=0)
    assets: Mapping[str, AssetLimits] = Field(default_factory=dict)
    """By asset id: `eip155:1337/erc20:0x…`, `eip155:1337/slip44:60`."""
    contracts: tuple[AllowedContract, ...] = ()
    recipients: tuple[PolicyAddress, ...] = ()
    """Who may receive proceeds, transfers and coins, besides the sender itself."""
    spenders: tuple[PolicyAddress, ...] = ()
    """Who may be given an allowance."""
    documents: Annotated[frozenset[str], AfterValidator(_permits)] = frozenset()
    """Permits that may be signed for the spenders, by primary type: `PermitSingle` is what Uniswap's router takes. The
    limits of allowances hold for them too."""
    statements: frozenset[Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]] = frozenset()
    """Purposes for which the signers' Ed25519 keys make statements."""
    gas_limit_max: int = Field(default=1_000_000, gt=0)
    fee_per_gas_wei_max: RawLimit = 500 * 10**9
    gas_cost_wei_max: RawLimit = 10**17
    """Gas limit times fee ceiling: the most one transaction may cost."""
    deadline_s_max: int = Field(default=1800, gt=0)
    """How far ahead of the chain's time a swap's deadline may lie."""
