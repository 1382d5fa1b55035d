"""Putting the deposit contracts on a chain, and making sure that what stands there is ours.

No guarded key deploys anything: elsewhere than on a devnet the creation transactions are handed out unsigned, for a
wallet of the operator's, and `check_deposit_contracts` looks at what came of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import ChainClient, NodeRefused, checksum, keccak256
from chain.abi import address_at, selector
from chain.network import NetworkKind, identify
from custody.deposits.contracts import (
    VaultRoles,
    factory_creation,
    forwarder_address,
    forwarder_creation,
    implementation_address,
    sweeper_creation,
    user_id,
    vault_creation,
)
from domain import Address, InputError, InvariantError, Refused
from wallets import rlp

_GAS_LIMIT: Final = 6_000_000


@dataclass(frozen=True, slots=True)
class VaultTerms:
    """What a new guarded vault is built with; `limits` in raw units a day, by token (`contracts.COIN`: wei)."""

    roles: VaultRoles
    delay_s: int
    limits: tuple[tuple[Address, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DepositContracts:
    """Where the contracts stand."""

    vault: Address
    factory: Address
    sweeper: Address


@dataclass(frozen=True, slots=True)
class Creation:
    """One contract to be created, by the deployer's transaction with this nonce."""

    name: str
    nonce: int
    address: Address
    code: bytes


def plan_deployment(
    deployer: Address, nonce: int, vault: Address | VaultTerms
) -> tuple[DepositContracts, list[Creation]]:
    """Lay out the creations in order, each address computed from deployer and nonce.

    Args:
        deployer: Who will send them.
        nonce: Its next nonce; the creations must be its next transactions, in this order.
        vault: Where everything goes: an address that stands, or terms of a guarded vault to be built first.
    """
    creations: list[Creation] = []

    def add(name: str, code: bytes) -> Address:
        at = nonce + len(creations)
        creations.append(Creation(name, at, created_address(deployer, at), code))
        return creations[-1].address

    if isinstance(vault, VaultTerms):
        vault = add("GuardedVault", vault_creation(vault.roles, vault.delay_s, vault.limits))
    factory = add("DepositForwarderFactory", factory_creation(vault))
    sweeper = add("BatchSweeper", sweeper_creation(factory))
    return DepositContracts(vault, factory, sweeper), creations


def created_address(deployer: Address, nonce: int) -> Address:
    """Where a creation transaction puts its contract."""
    return checksum("0x" + keccak256(rlp.encode([bytes.fromhex(deployer[2:]), rlp.integer(nonce)]))[12:].hex())


async def deploy_on_devnet(client: ChainClient, deployer: Address, vault: Address | VaultTerms) -> DepositContracts:
    """Create the contracts from one of a devnet's own accounts, and check them.

    Raises:
        Refused: Not a devnet (rule `devnet-only`).
        InvariantError: A creation reverted, or what stands there is not what was sent.
    """
    if await identify(client) is not NetworkKind.DEVNET:
        raise Refused(
            "contracts are deployed from here on a devnet only",
            rule="devnet-only",
            hint="without --send the creations are printed, to be signed by a wallet of yours",
        )
    contracts, creations = plan_deployment(deployer, await client.nonce(deployer), vault)
    for creation in creations:
        sent = {"from": deployer, "data": "0x" + creation.code.hex(), "gas": hex(_GAS_LIMIT)}
        receipt = await client.wait_receipt(str(await client.rpc.request("eth_sendTransaction", sent)))
        if not receipt.succeeded or receipt.created != creation.address:
            raise InvariantError(f"{creation.name} was not created at {creation.address}: {receipt.tx_hash}")
    await check_deposit_contracts(client, contracts)
    return contracts


async def check_deposit_contracts(client: ChainClient, contracts: DepositContracts) -> None:
    """See that factory and sweeper are ours and belong together, so that deposit addresses computed here are theirs.

    Raises:
        InputError: They are not; says what was expected and found.
        VenueUnavailable: No node answers.
    """
    probe = user_id("probe")
    answers = {
        "the factory's vault": (contracts.factory, selector("vault()"), contracts.vault),
        "its forwarders' code": (
            contracts.factory,
            selector("implementation()"),
            implementation_address(contracts.factory),
        ),
        "a forwarder's address": (
            contracts.factory,
            selector("forwarderOf(bytes32)") + probe,
            forwarder_address(contracts.factory, probe),
        ),
        "the sweeper's factory": (contracts.sweeper, selector("factory()"), contracts.factory),
    }
    for what, (contract, call, expected) in answers.items():
        try:
            found = address_at(await client.call(contract, call), 0)
        except (NodeRefused, InputError) as exc:
            raise InputError(
                f"{contract} does not tell {what}", hint="do the settings name the right contracts, on this chain?"
            ) from exc
        if found != expected:
            raise InputError(
                f"{what} should be {expected}, {contract} says {found}",
                hint="do the settings name the right ones?",
            )
    await _check_code(client, contracts)


async def _check_code(client: ChainClient, contracts: DepositContracts) -> None:
    """Compare code, immutables included, with what the constructors give for these arguments."""
    forwarders = implementation_address(contracts.factory)
    wanted = (
        (contracts.factory, factory_creation(contracts.vault), None),
        # Created by the factory's constructor, of which nothing is left to see: another one could have put other code.
        (forwarders, forwarder_creation(contracts.vault), contracts.factory),
        (contracts.sweeper, sweeper_creation(contracts.factory), None),
    )
    for address, creation, creator in wanted:
        # The constructor is run where the contract stands: what it would leave there now must stand there already.
        # What the factory's created is taken away meanwhile, or it could not create it.
        override: dict[str, dict[str, str]] = {
            forwarders: {"code": "0x", "nonce": "0x0"},
            address: {"code": "0x" + creation.hex(), "nonce": "0x1"},
        }
        expected = await client.call(address, b"", overrides=override, sender=creator)
        if await client.code(address) != expected:
            raise InputError(
                f"the code at {address} is not that of contracts/src in this version of capstan",
                hint="another release deployed it, or somebody else: do not give its addresses out",
            )
