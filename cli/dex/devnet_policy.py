"""What custody lets a dex command do on a devnet. Real installations have a policy of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from chain import ChainClient
from chain.devnet import CANONICAL
from custody import AllowedContract, AssetLimits, PolicySettings
from domain import Address, native_asset

TOKENS: Final = ("WETH9", "USDC", "WBTC", "DAI", "USDT")
_V2_SWAPS: Final = frozenset({"swapExactTokensForTokens", "swapTokensForExactTokens"})
METHODS: Final[Mapping[str, frozenset[str]]] = {
    **{token: frozenset({"approve"}) for token in TOKENS},
    "WETH9": frozenset({"approve", "deposit", "withdraw"}),
    "UniswapV2Router02": _V2_SWAPS,
    "SwapRouter02": _V2_SWAPS | {"exactInputSingle", "exactInput", "exactOutputSingle", "exactOutput", "multicall"},
    "Permit2": frozenset({"approve"}),
    "UniversalRouter": frozenset({"execute"}),
    "BalancerVault": frozenset({"swap"}),
}
"""What may be called by every dex command, by the contract's name in a devnet's address book."""
SPENDERS: Final = ("UniswapV2Router02", "SwapRouter02", "Permit2", "UniversalRouter", "BalancerVault")
_LIMITS: Final = AssetLimits(per_transaction_raw=10**26, per_day_raw=10**28, approval_raw=10**28)
_GAS_MAX: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Allowances:
    """What a verb needs on a devnet besides `METHODS`."""

    contracts: Mapping[Address, Collection[str]] = field(default_factory=dict)
    """Methods by contract; names as custody reads them."""
    spenders: tuple[Address, ...] = ()
    recipients: tuple[Address, ...] = ()


NO_MORE: Final = Allowances()


async def devnet_policy(client: ChainClient, more: Allowances = NO_MORE) -> PolicySettings:
    """Write the policy for the contracts that stand on this devnet, found at mainnet's addresses."""
    names = [name for name in METHODS if name in CANONICAL]
    codes = await client.batch([("eth_getCode", [CANONICAL[name], "latest"]) for name in names])
    standing = {name: Address(CANONICAL[name]) for name, code in zip(names, codes, strict=True) if code != "0x"}
    chain_id = client.chain_id
    contracts: dict[Address, set[str]] = {address: set(METHODS[name]) for name, address in standing.items()}
    for address, methods in more.contracts.items():
        contracts.setdefault(address, set()).update(methods)
    tokens = [f"eip155:{chain_id}/erc20:{standing[name]}" for name in TOKENS if name in standing]
    return PolicySettings.model_validate(
        {
            "chain_id": chain_id,
            "assets": dict.fromkeys([*tokens, native_asset(chain_id).id], _LIMITS),
            "contracts": tuple(
                AllowedContract(address=address, methods=frozenset(_known(methods)))
                for address, methods in sorted(contracts.items())
            ),
            "spenders": (*(standing[name] for name in SPENDERS if name in standing), *more.spenders),
            "recipients": more.recipients,
            "documents": frozenset({"PermitSingle"}),
            "gas_limit_max": _GAS_MAX,
        }
    )


def _known(methods: Collection[str]) -> Collection[str]:
    from custody.calls import known_methods

    return set(methods) & known_methods()
