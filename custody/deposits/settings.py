"""What of deposits is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from chain import parse_address
from custody.policy.settings import RawLimit
from domain import Address, InputError
from runtime import SettingsPart


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


AccountAddress = Annotated[Address, AfterValidator(_address)]


class DepositAsset(SettingsPart):
    """An asset that is taken in, in raw units."""

    minimum_raw: RawLimit = 1
    """Less is dust: held, not credited."""
    sweep_raw: RawLimit = 0
    """An address is swept once so much of its deposits is final, whatever their age; 0 sweeps any amount."""


class DepositSettings(SettingsPart):
    """Deposits on one chain."""

    chain_id: int = Field(gt=0)
    assets: Mapping[str, DepositAsset] = Field(default_factory=dict)
    """By asset id (`eip155:1/erc20:0x…`, `eip155:1/slip44:60`). What is not listed is not seen."""
    factory: AccountAddress | None = None
    """The forwarder factory; none gives out no forwarders."""
    sweeper: AccountAddress | None = None
    """The batch sweeper of that factory."""
    vault: AccountAddress | None = None
    """Where deposits are swept to: the factory's vault, and of key addresses the same."""
    extended_key: str = ""
    """Account key (`xpub…`) for key addresses; public, but it shows every address: keep it among the secrets."""
    confirmations: int = Field(default=12, ge=1)
    """Depth at which a deposit becomes available."""
    finality_depth: int = Field(default=0, ge=0)
    """Depth that counts as final on a chain without a finalized tag; 0 asks for the tag."""
    start_block: int | None = Field(default=None, ge=0)
    """The first block to read; none begins with the newest at the first start. Before any address was given out."""
    native: Literal["trace", "transactions"] = "trace"
    """How coins are found: `trace` asks for call traces (debug_traceBlockByHash) and sees every movement;
    `transactions` sees transfers by transactions, and by contracts only to forwarders that stand already."""
    blocks_per_step: int = Field(default=64, ge=1, le=1000)
    sweep_age_s: int = Field(default=24 * 3600, ge=0)
    """An address is swept once its oldest final deposit is this old, whatever the amount."""
    sweep_items_max: int = Field(default=40, ge=1, le=200)
    """Forwarder balances in one sweep, as far as their gas fits."""
    sweep_gas_max: int = Field(default=1_000_000, gt=0)
    """The most gas a sweep may be given: no more than policy's `gas_limit_max`."""
    sweeping_account: AccountAddress | None = None
    """Who pays the gas of batch sweeps."""
    gas_tank: AccountAddress | None = None
    """Who gives key addresses the gas to be swept; what it sends them is no deposit."""
    tank_per_hour_wei: RawLimit = 10**17
    """The most the gas tank gives away in any hour."""

    def model_post_init(self, _context: Any) -> None:
        prefix = f"eip155:{self.chain_id}/"
        if wrong := [asset for asset in self.assets if not asset.startswith(prefix)]:
            raise ValueError(f"deposits: {', '.join(wrong)} are not on chain {self.chain_id}")
        if (self.factory is None) != (self.sweeper is None) or (self.factory is not None and self.vault is None):
            raise ValueError("deposits: factory, sweeper and vault are given together")
        if self.gas_tank is not None and self.gas_tank in (self.vault, self.sweeping_account):
            raise ValueError("deposits: the gas tank is an account of its own, because what it sends is no deposit")
