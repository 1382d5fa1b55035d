"""User operations through the genuine EntryPoint: hashed as it does, refused before it would, paid for in full."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from chain import ChainClient, Receipt
from chain.abi import address_word, selector, uint_word
from chain.codec import function
from chain.devnet import TEST_ADDRESSES, Devnet
from chain.paths.erc4337 import (
    DEPOSIT,
    DEPOSITED,
    EXECUTE,
    UserOperation,
    UserOperationRejected,
    account_address,
    account_creation,
    check,
    handling,
    outcome,
    pre_verification_gas,
    read_nonce,
)
from domain import Address, InputError

pytestmark = pytest.mark.anvil

OWNER: LocalAccount = Account.from_key(b"\x31" * 32)
STRANGER: LocalAccount = Account.from_key(b"\x32" * 32)
CARRIER, BENEFICIARY = TEST_ADDRESSES[3], Address("0x00000000000000000000000000000000000CaFe1")
PAYEE = Address("0x000000000000000000000000000000000000bEEF")
HASH = function("getUserOpHash((address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes) op) returns (bytes32)")
GWEI = 10**9


class Scene:
    """An account that does not exist yet, with a deposit and a thousand USDC."""

    def __init__(self, devnet: Devnet, client: ChainClient, account: Address) -> None:
        self.devnet = devnet
        self.client = client
        self.account = account
        self.entry_point = devnet.world.contracts["EntryPoint"]
        self.usdc = devnet.world.tokens["USDC"].address

    @classmethod
    async def set(cls, devnet: Devnet, client: ChainClient) -> Scene:
        factory = devnet.world.contracts["SimpleAccountFactory"]
        scene = cls(devnet, client, await account_address(client, factory, OWNER.address, 7))
        await devnet.fund(scene.account, 0, {"USDC": 10**9})
        assert (await scene.send(scene.entry_point, DEPOSIT.encode(scene.account), 10**18)).succeeded
        return scene

    async def send(self, to: str, data: bytes, value_wei: int = 0) -> Receipt:
        request = {"from": CARRIER, "to": to, "data": "0x" + data.hex(), "value": hex(value_wei), "gas": hex(3_000_000)}
        request |= {"maxFeePerGas": hex(2 * GWEI), "maxPriorityFeePerGas": hex(2 * GWEI)}
        return await self.client.wait_receipt(await self.client.rpc.request("eth_sendTransaction", request))

    async def operation(self, raw: int = 5, **changes: object) -> UserOperation:
        """A transfer of USDC, with the account's creation if it is not there; not signed."""
        data = selector("transfer(address,uint256)") + address_word(PAYEE) + uint_word(raw)
        exists = bool(await self.client.code(self.account))
        factory = self.devnet.world.contracts["SimpleAccountFactory"]
        operation = UserOperation(
            sender=self.account,
            nonce=await read_nonce(self.client, self.entry_point, self.account),
            call_data=EXECUTE.encode(self.usdc, 0, data),
            verification_gas=80_000 if exists else 350_000,
            call_gas=100_000,
            pre_verification_gas=0,
            max_fee_wei=2 * GWEI,
            tip_wei=2 * GWEI,
            init_code=b"" if exists else account_creation(factory, OWNER.address, 7),
        )
        operation = replace(operation, pre_verification_gas=pre_verification_gas(operation))
        return replace(operation, **changes)  # type: ignore[arg-type]

    def signed(self, operation: UserOperation) -> UserOperation:
        chain_id = self.devnet.world.chain_id
        typed = encode_typed_data(full_message=operation.typed_data(chain_id, self.entry_point))
        signature = bytes(OWNER.sign_message(typed).signature)
        return operation.signed(signature, OWNER.address, chain_id, self.entry_point)

    async def carry(self, *operations: UserOperation) -> Receipt:
        return await self.send(self.entry_point, handling(operations, BENEFICIARY))

    def name(self, operation: UserOperation) -> bytes:
        return operation.hash(self.devnet.world.chain_id, self.entry_point)


async def test_the_first_operation_creates_the_account_and_acts(devnet: Devnet, chain_client: ChainClient) -> None:
    scene = await Scene.set(devnet, chain_client)
    operation = scene.signed(await scene.operation())
    (told,) = HASH.decode(await chain_client.call(scene.entry_point, HASH.encode(operation.packed)))
    assert scene.name(operation) == told
    await check(chain_client, scene.entry_point, [operation], BENEFICIARY, CARRIER)
    deposit = await _deposit(scene)
    receipt = await scene.carry(operation)
    done = outcome(receipt, scene.entry_point, scene.name(operation))
    assert done is not None
    assert done.succeeded
    assert await chain_client.token_balance(scene.usdc, PAYEE) == 5
    assert await _deposit(scene) == deposit - done.cost_wei
    assert await chain_client.balance(BENEFICIARY) == done.cost_wei
    # Whoever carries it is not out of pocket, and the account pays little more.
    assert receipt.gas_cost_wei <= done.cost_wei < receipt.gas_cost_wei * 3 // 2

    second = scene.signed(await scene.operation(7))
    assert (second.nonce, second.init_code) == (1, b"")
    receipt = await scene.carry(second)
    assert await chain_client.token_balance(scene.usdc, PAYEE) == 12
    done = outcome(receipt, scene.entry_point, scene.name(second))
    assert done is not None
    assert receipt.gas_cost_wei <= done.cost_wei < receipt.gas_cost_wei * 3 // 2
    assert outcome(receipt, scene.entry_point, scene.name(operation)) is None


async def _deposit(scene: Scene) -> int:
    return int(DEPOSITED.decode(await scene.client.call(scene.entry_point, DEPOSITED.encode(scene.account)))[0])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": 3}, "AA25"),
        ({"verification_gas": 10_000}, "AA13"),
        ({"max_fee_wei": 10**15, "tip_wei": 10**15}, "AA21"),
        ({"init_code": b""}, "AA20"),
    ],
)
async def test_what_the_entry_point_would_refuse_is_named_before_it_is_sent(
    devnet: Devnet, chain_client: ChainClient, changes: dict[str, object], code: str
) -> None:
    scene = await Scene.set(devnet, chain_client)
    operation = scene.signed(await scene.operation(**changes))
    with pytest.raises(UserOperationRejected) as refused:
        await check(chain_client, scene.entry_point, [operation], BENEFICIARY, CARRIER)
    assert (refused.value.code, refused.value.index) == (code, 0)
    receipt = await scene.carry(operation)
    assert not receipt.succeeded
    assert outcome(receipt, scene.entry_point, scene.name(operation)) is None


async def test_a_strangers_signature_is_refused_here_and_there(devnet: Devnet, chain_client: ChainClient) -> None:
    scene = await Scene.set(devnet, chain_client)
    operation, chain_id = await scene.operation(), devnet.world.chain_id
    typed = encode_typed_data(full_message=operation.typed_data(chain_id, scene.entry_point))
    signature = bytes(STRANGER.sign_message(typed).signature)
    with pytest.raises(InputError, match="not 0x"):
        operation.signed(signature, OWNER.address, chain_id, scene.entry_point)
    forged = replace(operation, signature=signature)
    with pytest.raises(UserOperationRejected) as refused:
        await check(chain_client, scene.entry_point, [forged], BENEFICIARY, CARRIER)
    assert refused.value.code == "AA24"
    # Signed for mainnet: not valid here.
    elsewhere = encode_typed_data(full_message=operation.typed_data(1, scene.entry_point))
    with pytest.raises(InputError, match="not 0x"):
        operation.signed(bytes(OWNER.sign_message(elsewhere).signature), OWNER.address, chain_id, scene.entry_point)


async def test_an_operation_whose_call_fails_is_paid_for_and_tells_why(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    scene = await Scene.set(devnet, chain_client)
    operation = scene.signed(await scene.operation(10**30))
    await check(chain_client, scene.entry_point, [operation], BENEFICIARY, CARRIER)
    receipt = await scene.carry(operation)
    done = outcome(receipt, scene.entry_point, scene.name(operation))
    assert done is not None
    assert not done.succeeded
    assert done.cost_wei > 0
    assert "exceeds balance" in done.reason
    assert await read_nonce(chain_client, scene.entry_point, scene.account) == 1


async def test_operations_of_two_keys_need_not_wait_for_one_another(devnet: Devnet, chain_client: ChainClient) -> None:
    scene = await Scene.set(devnet, chain_client)
    assert (await scene.carry(scene.signed(await scene.operation(1)))).succeeded
    other = await read_nonce(chain_client, scene.entry_point, scene.account, key=9)
    assert other == 9 << 64
    pair = [scene.signed(await scene.operation(raw, **nonce)) for raw, nonce in ((10, {"nonce": other}), (100, {}))]
    receipt = await scene.carry(*pair)
    assert all(outcome(receipt, scene.entry_point, scene.name(operation)) for operation in pair)
    assert await chain_client.token_balance(scene.usdc, PAYEE) == 111


async def test_what_cannot_be_an_operation_is_not_built(devnet: Devnet, chain_client: ChainClient) -> None:
    scene = await Scene.set(devnet, chain_client)
    for changes in ({"call_gas": 2**120}, {"tip_wei": -1}, {"init_code": bytes.fromhex("7702") + bytes(18)}):
        with pytest.raises(InputError):
            await scene.operation(**changes)
    with pytest.raises(InputError, match="at least one"):
        handling([], BENEFICIARY)
