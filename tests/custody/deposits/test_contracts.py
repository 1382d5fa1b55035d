"""The contracts on a chain: addresses computed offline are the chain's, and the calls we encode do what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import ChainClient, NodeRefused
from chain.abi import address_at, selector, uint_at
from chain.devnet import TEST_ADDRESSES, Devnet
from custody.calls import decode_call
from custody.deposits import contracts
from custody.deposits.contracts import (
    COIN,
    SweepItem,
    VaultRoles,
    forwarder_address,
    implementation_address,
    sweep_call,
    user_id,
)
from custody.deposits.deployment import (
    DepositContracts,
    VaultTerms,
    check_deposit_contracts,
    deploy_on_devnet,
    plan_deployment,
)
from domain import Address, InputError, Refused

DEPLOYER, ADMIN, OPERATOR, GUARDIAN = TEST_ADDRESSES[6:10]
VAULT = Address("0x00000000000000000000000000000000000000AA")
SWEEPER = Address("0x00000000000000000000000000000000000000bb")


@pytest.mark.anvil
async def test_what_is_deployed_is_checked_and_its_addresses_are_known_beforehand(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    terms = VaultTerms(VaultRoles(ADMIN, OPERATOR, GUARDIAN), 86_400, ((COIN, 10**18),))
    nonce = await chain_client.nonce(DEPLOYER)
    planned, _ = plan_deployment(DEPLOYER, nonce, terms)
    found = await deploy_on_devnet(chain_client, DEPLOYER, terms)
    assert found == planned
    assert address_at(await chain_client.call(found.vault, selector("guardian()")), 0) == GUARDIAN
    limit = await chain_client.call(found.vault, selector("limitOf(address)") + bytes(32))
    assert uint_at(limit, 0) == 10**18
    for name in ("alice", "bob", "ж" * 100):
        account = user_id(name)
        told = await chain_client.call(found.factory, selector("forwarderOf(bytes32)") + account)
        assert address_at(told, 0) == forwarder_address(found.factory, account)


@pytest.mark.anvil
async def test_a_sweep_moves_what_the_items_say_and_reports_what_fails(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    found = await deploy_on_devnet(chain_client, DEPLOYER, VAULT)
    alice, bob = (forwarder_address(found.factory, user_id(name)) for name in ("alice", "bob"))
    usdc = devnet.world.tokens["USDC"].address
    await devnet.fund(alice, tokens={"USDC": 5_000_000})
    await devnet.fund(bob, eth_wei=10**18)
    data = sweep_call(
        [
            SweepItem(user_id("alice"), usdc, 4_000_000),
            SweepItem(user_id("alice"), usdc, 4_000_000),  # more than is left
            SweepItem(user_id("bob"), COIN, 10**18),
        ]
    )
    gas = await chain_client.gas_estimate(DEPLOYER, found.sweeper, data)
    sent = {"from": DEPLOYER, "to": found.sweeper, "data": "0x" + data.hex(), "gas": hex(gas)}
    receipt = await chain_client.wait_receipt(await chain_client.rpc.request("eth_sendTransaction", sent))
    assert receipt.succeeded
    assert await chain_client.token_balance(usdc, VAULT) == 4_000_000
    assert await chain_client.token_balance(usdc, alice) == 1_000_000
    assert await chain_client.balance(VAULT) == 10**18
    events = [log.topics[0] for log in receipt.logs if log.address in (found.factory, found.sweeper)]
    assert [event for event in events if event in (contracts.SWEPT, contracts.SWEEP_FAILED)] == [
        contracts.SWEPT,
        contracts.SWEEP_FAILED,
        contracts.SWEPT,
    ]
    # Deployed now: it reports what it is sent, as the scanner reads it.
    told = {"from": DEPLOYER, "to": alice, "value": "0x7"}
    receipt = await chain_client.wait_receipt(await chain_client.rpc.request("eth_sendTransaction", told))
    assert [(log.address, log.topics[0], uint_at(log.data, 0)) for log in receipt.logs] == [
        (alice, contracts.RECEIVED, 7)
    ]


@pytest.mark.anvil
async def test_contracts_that_are_not_what_the_settings_say_are_refused(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    ours = await deploy_on_devnet(chain_client, DEPLOYER, VAULT)
    other = await deploy_on_devnet(chain_client, DEPLOYER, GUARDIAN)
    for wrong in (
        DepositContracts(GUARDIAN, ours.factory, ours.sweeper),
        DepositContracts(VAULT, other.factory, ours.sweeper),
        DepositContracts(VAULT, ours.factory, other.sweeper),
        DepositContracts(VAULT, VAULT, ours.sweeper),
        DepositContracts(VAULT, ours.sweeper, ours.factory),
    ):
        with pytest.raises(InputError):
            await check_deposit_contracts(chain_client, wrong)
    # One byte of other code, although every answer is right.
    for address in (ours.sweeper, ours.factory, implementation_address(ours.factory)):
        code = await chain_client.code(address)
        await chain_client.rpc.request("anvil_setCode", address, "0x" + code[:-1].hex() + "ff")
        with pytest.raises(InputError, match=f"code at {address} is not that of"):
            await check_deposit_contracts(chain_client, ours)
        await chain_client.rpc.request("anvil_setCode", address, "0x" + code.hex())
    await check_deposit_contracts(chain_client, ours)


@pytest.mark.anvil
async def test_nothing_is_deployed_elsewhere_than_on_a_devnet(chain_client: ChainClient, monkeypatch) -> None:
    # A fork of mainnet has another genesis; here it is the genesis we look for that is another.
    monkeypatch.setattr("chain.network.DEVNET_GENESIS_HASH", "0x" + "11" * 32)
    before = await chain_client.nonce(DEPLOYER)
    with pytest.raises(Refused) as refused:
        await deploy_on_devnet(chain_client, DEPLOYER, VAULT)
    assert refused.value.rule == "devnet-only"
    assert await chain_client.nonce(DEPLOYER) == before


@pytest.mark.anvil
async def test_roles_that_are_not_separate_cannot_be_deployed(chain_client: ChainClient) -> None:
    _, [vault, *_] = plan_deployment(DEPLOYER, 0, VaultTerms(VaultRoles(ADMIN, ADMIN, GUARDIAN), 86_400))
    with pytest.raises(NodeRefused):
        await chain_client.call(None, vault.code)


@given(
    st.lists(
        st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=20, max_size=20), st.integers(1, 2**256 - 1)),
        min_size=1,
        max_size=20,
    )
)
def test_a_sweep_is_read_back_as_it_was_written(rows: list[tuple[bytes, bytes, int]]) -> None:
    items = [SweepItem(account, Address("0x" + token.hex()), raw) for account, token, raw in rows]
    call = decode_call(DEPLOYER, SWEEPER, sweep_call(items))
    assert call.method == "sweep"
    assert not call.spends
    assert not call.approves
    assert call.recipient == SWEEPER  # stands for its vault
    assert [line.value for line in call.shown] == [part for item in items for part in (item.user_id, item.raw)]


def test_a_sweep_of_nothing_is_neither_written_nor_read() -> None:
    with pytest.raises(InputError):
        sweep_call([])
    with pytest.raises(Refused) as refused:
        decode_call(DEPLOYER, SWEEPER, sweep_call([SweepItem(user_id("a"), COIN, 0)]))
    assert refused.value.rule == "unsafe-call"


@pytest.mark.parametrize("account", [b"", b"short", bytes(32)])
def test_an_account_the_factory_would_refuse_has_no_address(account: bytes) -> None:
    with pytest.raises(InputError):
        forwarder_address(SWEEPER, account)
