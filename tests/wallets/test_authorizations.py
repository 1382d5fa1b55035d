"""EIP-7702: authorizations and type 4 transactions against eth-account, in the journal, and executed on a devnet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, Devnet
from custody import Policy, PolicyGuard, PolicySettings
from domain import Address, ChainId, InputError, Refused
from runtime import Secret
from tests.wallets.test_sign_once import AllowAll, OtherParitySigner
from wallets import (
    AuthorizationToSign,
    DenyAll,
    Evidence,
    HdWallet,
    KeySigner,
    Network,
    SignedAuthorization,
    SignedTransaction,
    SignerService,
    SigningJournal,
    TransactionToSign,
    authority_of,
    parse,
    recover,
    rlp,
    signing_digest,
)

DEVNET = Network.DEVNET
DELEGATE = Address("0x5ce9454909639D2D17A3F753ce7d93fa0b9aB12E")
KEYS = st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big"))
AUTHORIZATION = AuthorizationToSign(chain_id=ChainId(1337), delegate=DELEGATE, nonce=1)


def transaction(*authorizations: SignedAuthorization, **changes: object) -> TransactionToSign:
    fields: dict[str, object] = {
        "type": 4,
        "chain_id": ChainId(1337),
        "nonce": 0,
        "to": TEST_ADDRESSES[1],
        "gas_limit": 100_000,
        "max_fee_per_gas_wei": 2 * 10**9,
        "max_priority_fee_per_gas_wei": 10**9,
        "authorizations": authorizations,
    }
    return TransactionToSign(**(fields | changes))  # type: ignore[arg-type]


def as_eth_account(tx: TransactionToSign) -> dict[str, Any]:
    return {
        "type": 4,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "to": tx.to,
        "value": tx.value_wei,
        "data": tx.data,
        "gas": tx.gas_limit,
        "maxFeePerGas": tx.max_fee_per_gas_wei,
        "maxPriorityFeePerGas": tx.max_priority_fee_per_gas_wei,
        "accessList": [],
        "authorizationList": [
            {
                "chainId": signed.authorization.chain_id,
                "address": signed.authorization.delegate,
                "nonce": signed.authorization.nonce,
                "yParity": signed.signature.y_parity,
                "r": signed.signature.r,
                "s": signed.signature.s,
            }
            for signed in tx.authorizations
        ],
    }


@pytest.fixture
def key() -> KeySigner:
    return HdWallet(Secret(TEST_MNEMONIC)).signer(5)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SigningJournal]:
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as opened:
        yield opened


class AllowDelegation(AllowAll):
    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        if authorization.delegate != DELEGATE:
            raise Refused("another delegate", rule="delegation")


async def test_the_authorization_of_eth_accounts_manual_is_signed_as_published() -> None:
    # https://eth-account.readthedocs.io, Account.sign_authorization
    signer = KeySigner(b"\xaa" * 32)
    signed = await signer.sign_authorization(AUTHORIZATION, network=Network.LIVE)
    assert AUTHORIZATION.digest().hex() == "9026f77ed6740d6d08f0cdc0591a86b2232700020a816718fbf760785e9ca2f2"
    assert signed.signature.r == 52163433520757118830640642673035732532535423029712132518776649895118143897479
    assert signed.signature.s == 57576671166887700066365341925867052133948674355067837907255957076179513983345
    assert signed.signature.y_parity == 0
    assert authority_of(signed) == signer.address


def test_a_signed_authorization_is_encoded_as_published() -> None:
    # https://github.com/alloy-rs/eips, crates/eip7702/src/auth_list.rs, test_encode_decode_signed_auth. Its s is high,
    # which EIP-7702 refuses: encoded, and recovered to nobody.
    signature = bytes.fromhex(
        "48b55bfa915ac795c431978d8a6a992b628d557da5ff759b307d495a36649353"
        "efffd310ac743f371de3b9f7f9cb56c0b28ad43601b4ab949f53faa07bd2c8041b"
    )
    signed = SignedAuthorization.from_wire(
        {
            "chain_id": "1",
            "delegate": "0x0000000000000000000000000000000000000006",
            "nonce": "1",
            "signature": "0x" + signature.hex(),
        }
    )
    assert rlp.encode(signed.items()).hex() == (
        "f85a0194000000000000000000000000000000000000000601"
        "80a048b55bfa915ac795c431978d8a6a992b628d557da5ff759b307d495a36649353"
        "a0efffd310ac743f371de3b9f7f9cb56c0b28ad43601b4ab949f53faa07bd2c804"
    )
    with pytest.raises(InputError):
        authority_of(signed)


@given(authority=KEYS, sender=KEYS, nonce=st.integers(0, 2**64 - 2), chain=st.integers(1, 2**53), data=st.binary())
async def test_authorizations_and_raw_bytes_equal_eth_accounts_and_parse_back(
    authority: bytes, sender: bytes, nonce: int, chain: int, data: bytes
) -> None:
    authorization = AuthorizationToSign(chain_id=ChainId(chain), delegate=DELEGATE, nonce=nonce)
    signed = await KeySigner(authority).sign_authorization(authorization, network=Network.LIVE)
    oracle = Account.sign_authorization({"chainId": chain, "address": DELEGATE, "nonce": nonce}, authority)
    assert (signed.signature.r, signed.signature.s, signed.signature.y_parity) == (oracle.r, oracle.s, oracle.y_parity)
    assert SignedAuthorization.from_wire(signed.to_wire()) == signed
    tx = transaction(signed, signed, chain_id=ChainId(chain), data=data)
    raw = (await KeySigner(sender).sign_transaction(tx, network=Network.LIVE)).raw
    assert raw == bytes(Account.sign_transaction(as_eth_account(tx), sender).raw_transaction)
    again, signature = parse(raw)
    assert again == tx == TransactionToSign.from_wire(tx.to_wire())
    assert recover(signing_digest(again), signature) == Account.from_key(sender).address
    assert authority_of(again.authorizations[0]) == Account.from_key(authority).address


async def test_chain_id_zero_is_refused_wherever_it_comes_from(key: KeySigner, journal: SigningJournal) -> None:
    oracle = Account.sign_authorization({"chainId": 0, "address": DELEGATE, "nonce": 1}, b"\x01" * 32)
    tx = transaction(await key.sign_authorization(AUTHORIZATION, network=DEVNET))
    evil = as_eth_account(tx) | {"authorizationList": [oracle.model_dump(by_alias=True)]}
    raw = bytes(Account.sign_transaction(evil, b"\x01" * 32).raw_transaction)
    wire = tx.to_wire() | {"authorizations": [tx.authorizations[0].to_wire() | {"chain_id": "0"}]}
    service = SignerService([key], guard=AllowDelegation(), journal=journal)
    attempts = (
        lambda: AuthorizationToSign(chain_id=ChainId(0), delegate=DELEGATE, nonce=1),
        lambda: TransactionToSign.from_wire(wire),
        lambda: parse(raw),
    )
    for attempt in attempts:
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.rule == "any-chain"
    asked = {"signer": key.address, "network": "devnet"}
    for method, payload in (
        ("sign_authorization", AUTHORIZATION.to_wire() | {"chain_id": "0"}),
        ("sign_transaction", wire),
    ):
        answer = await service.answer({"method": method, **asked, "payload": payload})
        assert answer["error"]["rule"] == "any-chain"
    assert journal.count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"authorizations": ()},
        {"type": 2},
        {"chain_id": ChainId(1)},
        {"gas_price_wei": 1},
        {"max_priority_fee_per_gas_wei": 3 * 10**9},
    ],
)
async def test_impossible_type_4_transactions_cannot_be_built(key: KeySigner, changes: dict[str, object]) -> None:
    signed = await key.sign_authorization(AUTHORIZATION, network=DEVNET)
    with pytest.raises(InputError):
        transaction(**{"authorizations": (signed,), **changes})


async def test_an_authorization_uses_up_its_nonce_and_the_same_one_again_is_the_same(
    key: KeySigner, journal: SigningJournal
) -> None:
    service = SignerService([key], guard=AllowDelegation(), journal=journal)
    first = await service.sign_authorization(key.address, AUTHORIZATION, network=DEVNET)
    assert await service.sign_authorization(key.address, AUTHORIZATION, network=DEVNET) == first
    payment = transaction(type=2, nonce=1, authorizations=())
    for conflicting in (payment, replace(payment, max_fee_per_gas_wei=9**20, max_priority_fee_per_gas_wei=9**19)):
        with pytest.raises(Refused) as refused:
            await service.sign_transaction(key.address, conflicting, network=DEVNET)
        assert refused.value.rule == "sign-once"
    paid = replace(payment, nonce=2)
    await service.sign_transaction(key.address, paid, network=DEVNET)
    with pytest.raises(Refused) as refused:
        await service.sign_authorization(key.address, replace(AUTHORIZATION, nonce=2), network=DEVNET)
    assert refused.value.rule == "sign-once"


async def test_a_replacement_keeps_the_authorizations(key: KeySigner, journal: SigningJournal) -> None:
    service = SignerService([key], guard=AllowDelegation(), journal=journal)
    other = KeySigner(b"\x05" * 32, is_test_key=True)
    mine = await key.sign_authorization(AUTHORIZATION, network=DEVNET)
    theirs = await other.sign_authorization(AUTHORIZATION, network=DEVNET)
    tx = transaction(mine)
    await service.sign_transaction(key.address, tx, network=DEVNET)
    dearer = replace(tx, max_fee_per_gas_wei=3 * 10**9, max_priority_fee_per_gas_wei=2 * 10**9)
    for changed in (
        replace(dearer, authorizations=(theirs,)),
        replace(dearer, authorizations=(mine, theirs)),
        replace(dearer, type=2, authorizations=()),
    ):
        with pytest.raises(Refused) as refused:
            await service.sign_transaction(key.address, changed, network=DEVNET)
        assert refused.value.rule == "sign-once"
    await service.sign_transaction(key.address, dearer, network=DEVNET)


async def test_a_device_that_never_repeats_itself_gives_one_authorization(
    key: KeySigner, journal: SigningJournal
) -> None:
    service = SignerService([OtherParitySigner(key)], guard=AllowDelegation(), journal=journal)
    signed = [await service.sign_authorization(key.address, AUTHORIZATION, network=DEVNET) for _ in range(3)]
    assert len(set(signed)) == 1


async def test_guards_refuse_delegations_until_a_policy_allows_them(key: KeySigner, journal: SigningJournal) -> None:
    policy = Policy(PolicySettings(chain_id=ChainId(1337), recipients=(TEST_ADDRESSES[1],)))
    signed = await key.sign_authorization(AUTHORIZATION, network=DEVNET)
    for guard, rule in (
        (DenyAll(), "no-policy"),
        (PolicyGuard(policy), "delegation"),
        (AllowDelegation(), "delegation"),
    ):
        service = SignerService([key], guard=guard, journal=journal)
        with pytest.raises(Refused) as refused:
            await service.sign_authorization(
                key.address, replace(AUTHORIZATION, delegate=TEST_ADDRESSES[2]), network=DEVNET
            )
        assert refused.value.rule == rule
    with pytest.raises(Refused) as refused:
        await SignerService([key], guard=PolicyGuard(policy), journal=journal).sign_transaction(
            key.address, transaction(signed), network=DEVNET
        )
    assert refused.value.rule == "delegation"
    assert journal.count() == 0


@pytest.mark.anvil
async def test_a_sponsored_delegation_is_executed_and_ended_on_a_prague_devnet(devnet_for_session: Devnet) -> None:
    world, wallet = devnet_for_session.world, HdWallet(Secret(TEST_MNEMONIC))
    node, sponsor, owner = Web3(Web3.HTTPProvider(world.rpc_url)), wallet.signer(6), wallet.signer(12)
    await devnet_for_session.fund(sponsor.address, 10**18, {})
    delegate, nobody = world.tokens["USDC"].address, Address("0x" + "00" * 20)

    async def delegate_to(contract: Address) -> Mapping[str, Any]:
        sender, authority = (Web3.to_checksum_address(signer.address) for signer in (sponsor, owner))
        authorization = AuthorizationToSign(
            chain_id=ChainId(world.chain_id), delegate=contract, nonce=node.eth.get_transaction_count(authority)
        )
        tx = transaction(
            await owner.sign_authorization(authorization, network=DEVNET),
            chain_id=ChainId(world.chain_id),
            nonce=node.eth.get_transaction_count(sender),
            to=owner.address,
            data=Web3.keccak(text="decimals()")[:4] if contract != nobody else b"",
            max_fee_per_gas_wei=10**11,
        )
        signed = await sponsor.sign_transaction(tx, network=DEVNET)
        return node.eth.wait_for_transaction_receipt(node.eth.send_raw_transaction(signed.raw))

    assert (await delegate_to(delegate))["status"] == 1
    account = Web3.to_checksum_address(owner.address)
    assert node.eth.get_code(account).hex().removeprefix("0x") == "ef0100" + delegate[2:].lower()
    answer = node.eth.call({"to": account, "data": Web3.keccak(text="decimals()")[:4]})
    assert len(answer) == 32
    assert (await delegate_to(nobody))["status"] == 1
    assert node.eth.get_code(account) == b""


def test_json_rpc_writes_and_reads_a_type_4_transaction_as_nodes_do() -> None:
    from wallets.rpc.wire import build, check_fields, describe

    authority, sender = b"\x02" * 32, b"\x03" * 32
    oracle = Account.sign_authorization({"chainId": 1, "address": DELEGATE, "nonce": 5}, authority)
    entry = {
        "chainId": "0x1",
        "address": DELEGATE.lower(),
        "nonce": "0x5",
        "yParity": hex(oracle.y_parity),
        "r": hex(oracle.r),
        "s": hex(oracle.s),
    }
    fields = {"chainId": "0x1", "nonce": "0x0", "to": DELEGATE, "gas": "0x186a0", "maxFeePerGas": "0x2"}
    tx = build(check_fields({**fields, "maxPriorityFeePerGas": "0x1", "authorizationList": [entry]}))
    assert authority_of(tx.authorizations[0]) == Account.from_key(authority).address
    raw = bytes(Account.sign_transaction(as_eth_account(tx), sender).raw_transaction)
    shown = describe(SignedTransaction(raw, "0x", Account.from_key(sender).address))["tx"]
    assert shown["type"] == "0x4"
    assert shown["authorizationList"] == [entry | {"address": DELEGATE}]
    for broken in (entry | {"chainId": "0x0"}, entry | {"yParity": "0x2"}, {**entry, "v": "0x1b"}, "0x"):
        with pytest.raises((InputError, Refused)):
            build(check_fields({**fields, "maxPriorityFeePerGas": "0x1", "authorizationList": [broken]}))
