"""The ArbExecutor's way onto a chain: its code, what it is built with, and where it then stands.

It is deployed through the deterministic deployment proxy (Arachnid's, at the same address on every chain and on anvil),
so its address follows from its code and roles: it is known before, and whoever deploys the same gets the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Final

from chain import ChainClient, checksum, keccak256
from chain.codec import function, parameters
from dex.arbitrage.funding import Venues
from dex.arbitrage.planning import PURPOSE
from dex.pools import ZERO_ADDRESS
from domain.errors import InputError, Refused
from domain.ids import Address, ChainId, IntentId, StrategyId
from domain.plans import TransactionPlan

DEPLOYER: Final = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
"""Takes a salt and creation code as its whole call data, and creates."""
SALT: Final = keccak256(b"capstan arbitrage executor")
V2_PAIR_CODE_HASH: Final = bytes.fromhex("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f")
V3_POOL_CODE_HASH: Final = bytes.fromhex("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54")
"""Uniswap's own on Ethereum and wherever the factories were deployed with the same code."""
_IS_PAUSED: Final = function("isPaused() returns (bool)")
_IS_OPERATOR: Final = function("isOperator(address account) returns (bool)")
_BENEFICIARY: Final = function("beneficiary() returns (address)")
_CODE: Final = Path(__file__).parents[1] / "bytecode" / "ArbExecutor.hex"
_BUILT_WITH: Final = parameters(
    "address owner, address operator, address pauser, address beneficiary,"
    " (address weth, address v2Factory, bytes32 v2InitCodeHash, address v3Factory, bytes32 v3InitCodeHash,"
    " address poolManager, address aavePool, address balancerVault) venues"
)


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may do what with an executor."""

    owner: Address
    """Names the others and sweeps to itself: a Safe, say."""
    operator: Address
    """Carries out cycles."""
    pauser: Address
    beneficiary: Address
    """Gets the profits."""


@dataclass(frozen=True, slots=True)
class Factories:
    """Uniswap's factories on a chain; the zero address where there is none."""

    v2: Address = ZERO_ADDRESS
    v3: Address = ZERO_ADDRESS


def known_venues(contracts: Mapping[str, str], wrapped: Address) -> tuple[Venues, Factories]:
    """Pick what an executor uses out of a chain's contracts by name; what is not there it does without."""

    def find(name: str) -> Address:
        return Address(contracts.get(name, ZERO_ADDRESS))

    venues = Venues(wrapped, find("PoolManager"), find("AavePool"), find("BalancerVault"))
    return venues, Factories(find("UniswapV2Factory"), find("UniswapV3Factory"))


@lru_cache(maxsize=1)
def creation_code() -> bytes:
    """Give the contract's creation code, as `scripts/contract-bytecode` copied it from forge's output.

    Raises:
        InputError: It is not there.
    """
    try:
        return bytes.fromhex(_CODE.read_text().strip())
    except FileNotFoundError as exc:
        raise InputError("the arbitrage executor's code is missing", hint="Run scripts/contract-bytecode.") from exc


def deployment_data(roles: Roles, venues: Venues, factories: Factories) -> bytes:
    """Write the deployment proxy's call: salt, creation code, what it is built with."""
    built_with = _BUILT_WITH.encode(
        *(getattr(roles, role.name) for role in fields(roles)),
        (
            venues.wrapped,
            factories.v2,
            V2_PAIR_CODE_HASH,
            factories.v3,
            V3_POOL_CODE_HASH,
            venues.pool_manager,
            venues.aave_pool,
            venues.balancer_vault,
        ),
    )
    return SALT + creation_code() + built_with


def with_roles(data: bytes, roles: Roles) -> bytes:
    """Give the same deployment with other roles."""
    head = 32 + len(creation_code())
    *_, venues = _BUILT_WITH.decode(data[head:])
    return data[:head] + _BUILT_WITH.encode(*(getattr(roles, role.name) for role in fields(roles)), venues)


def deployed_address(data: bytes) -> Address:
    """Give where a deployment's contract stands (EIP-1014)."""
    digest = keccak256(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + data[:32] + keccak256(data[32:]))
    return checksum("0x" + digest[12:].hex())


async def check_executor(client: ChainClient, executor: Address, operator: Address, data: bytes) -> None:
    """Make sure that what stands at an address is our executor, runs, obeys the operator and pays it.

    Args:
        client: A node.
        executor: Where it should be.
        operator: Who will send to it, and whose books want to see the profits.
        data: A deployment of the same venues; roles may differ.

    Raises:
        InputError: Nothing stands there, or something else.
        Refused: It is paused, or the operator is not one, or the profits go elsewhere.
    """
    # Roles are storage, venues are in the code: running the constructor gives the code that must stand there.
    code, expected = await client.code(executor), await client.call(None, data[32:])
    if code != expected:
        raise InputError(
            f"{executor} is {'another contract' if code else 'no contract'}, expected an arbitrage executor",
            hint="capstan dex arb deploy, or --executor with its address",
        )
    if _IS_PAUSED.decode(await client.call(executor, _IS_PAUSED.encode()))[0]:
        raise Refused(f"the executor {executor} is paused", rule="executor-paused", hint="its owner ends the pause")
    if not _IS_OPERATOR.decode(await client.call(executor, _IS_OPERATOR.encode(operator)))[0]:
        raise Refused(f"{operator} is no operator of {executor}", rule="executor-operator", hint="its owner names them")
    (beneficiary,) = _BENEFICIARY.decode(await client.call(executor, _BENEFICIARY.encode()))
    if checksum(beneficiary) != operator:
        raise Refused(
            f"the executor {executor} pays {checksum(beneficiary)}, whose books are not kept here",
            rule="executor-beneficiary",
            hint=f"its owner names {operator} as beneficiary",
        )


def plan_deployment(
    *, intent_id: str, strategy: str, chain_id: ChainId, sender: Address, roles: Roles, data: bytes
) -> TransactionPlan:
    """Plan a deployment; it moves nothing."""
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose=PURPOSE,
        chain_id=chain_id,
        sender=sender,
        to=DEPLOYER,
        value_wei=0,
        data=data,
        gas_limit=0,
        deadline_s=0,
        recipient=roles.beneficiary,
    )
