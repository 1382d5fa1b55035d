"""Documents are read exactly and hashed twice: here, and by eth_account as the key would."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from chain.codec import function
from chain.paths.erc4337 import EXECUTE, UserOperation, account_creation
from chain.paths.safe import InnerCall, SafeTransaction, batch
from custody.calls import decode_call, decode_typed_data, known_documents
from custody.calls.model import COIN
from custody.calls.permit2 import PERMIT2
from custody.calls.user_operations import ENTRY_POINT, FACTORY
from domain import Refused
from tests.support.approvers import PARTNER, USDC, VAULT, address_of, transfer_data
from wallets import TypedDataToSign

ROUTER = address_of("router")
ACCOUNT = address_of("account")
SAFE = address_of("safe")
ZERO = "0x" + "00" * 20
KINDS = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
}


def document(primary, types, message, domain):
    fields = {name: [{"name": n, "type": t} for n, t in members] for name, members in types.items()}
    fields["EIP712Domain"] = [{"name": name, "type": KINDS[name]} for name in domain]
    return {"types": fields, "primaryType": primary, "domain": domain, "message": message}


DETAILS = [("token", "address"), ("amount", "uint160"), ("expiration", "uint48"), ("nonce", "uint48")]
ONE = {"token": USDC, "amount": 5, "expiration": 1_000, "nonce": 0}
AT_PERMIT2 = {"name": "Permit2", "chainId": 1, "verifyingContract": PERMIT2}
SAFE_TX = {
    "to": USDC,
    "value": 0,
    "data": "0x" + transfer_data(PARTNER, 5).hex(),
    "operation": 0,
    "safeTxGas": 0,
    "baseGas": 0,
    "gasPrice": 0,
    "gasToken": ZERO,
    "refundReceiver": ZERO,
    "nonce": 7,
}
SAFE_KINDS = ["address", "uint256", "bytes", "uint8", "uint256", "uint256", "uint256", "address", "address", "uint256"]
PERMIT = [
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
]
ONCE = [("spender", "address"), ("nonce", "uint256"), ("deadline", "uint256")]
PERMITTED = [("token", "address"), ("amount", "uint256")]

DOCUMENTS = {
    "PermitSingle": document(
        "PermitSingle",
        {
            "PermitSingle": [("details", "PermitDetails"), ("spender", "address"), ("sigDeadline", "uint256")],
            "PermitDetails": DETAILS,
        },
        {"details": ONE, "spender": ROUTER, "sigDeadline": 2_000},
        AT_PERMIT2,
    ),
    "PermitBatch": document(
        "PermitBatch",
        {
            "PermitBatch": [("details", "PermitDetails[]"), ("spender", "address"), ("sigDeadline", "uint256")],
            "PermitDetails": DETAILS,
        },
        {"details": [ONE, ONE | {"token": PARTNER}], "spender": ROUTER, "sigDeadline": 2_000},
        AT_PERMIT2,
    ),
    "PermitTransferFrom": document(
        "PermitTransferFrom",
        {"PermitTransferFrom": [("permitted", "TokenPermissions"), *ONCE], "TokenPermissions": PERMITTED},
        {"permitted": {"token": USDC, "amount": 5}, "spender": ROUTER, "nonce": 1, "deadline": 2_000},
        AT_PERMIT2,
    ),
    "PermitBatchTransferFrom": document(
        "PermitBatchTransferFrom",
        {"PermitBatchTransferFrom": [("permitted", "TokenPermissions[]"), *ONCE], "TokenPermissions": PERMITTED},
        {"permitted": [{"token": USDC, "amount": 5}], "spender": ROUTER, "nonce": 1, "deadline": 2_000},
        AT_PERMIT2,
    ),
    "Permit": document(
        "Permit",
        {"Permit": PERMIT},
        {"owner": VAULT, "spender": ROUTER, "value": 5, "nonce": 0, "deadline": 2_000},
        {"name": "USD Coin", "version": "2", "chainId": 1, "verifyingContract": USDC},
    ),
    "SafeTx": document(
        "SafeTx",
        {"SafeTx": list(zip(SAFE_TX, SAFE_KINDS, strict=True))},
        SAFE_TX,
        {"chainId": 1, "verifyingContract": SAFE},
    ),
}


def user_operation(**fields):
    """What `chain.paths` builds for the vault's smart account: a transfer, and the account's creation."""
    data = EXECUTE.encode(USDC, 0, transfer_data(PARTNER, 5))
    operation = UserOperation(ACCOUNT, 7, data, 100_000, 200_000, 50_000, 3, 2, account_creation(FACTORY, VAULT, 1))
    return replace(operation, **fields).typed_data(1, ENTRY_POINT)


DOCUMENTS["PackedUserOperation"] = user_operation()


def changed(name, path, value):
    found = copy.deepcopy(DOCUMENTS[name])
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return found


def rule_of(given):
    with pytest.raises(Refused) as refusal:
        decode_typed_data(VAULT, given)
    return refusal.value.rule


@pytest.mark.parametrize("name", DOCUMENTS)
def test_our_hash_is_the_one_that_is_signed(name):
    found = decode_typed_data(VAULT, DOCUMENTS[name])
    assert found.digest == TypedDataToSign(DOCUMENTS[name]).digest()
    assert (found.call.method, found.chain_id) == (name, 1)


def test_every_document_is_tried():
    assert set(DOCUMENTS) == known_documents()


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name.startswith("Permit")])
def test_permits_are_allowances(name):
    call = decode_typed_data(VAULT, DOCUMENTS[name]).call
    assert call.approves[USDC] == 5
    assert call.spender == ROUTER
    assert not call.spends


def test_a_safe_transaction_is_read_through():
    found = decode_typed_data(VAULT, DOCUMENTS["SafeTx"])
    assert (dict(found.call.spends), found.call.recipient, found.contract) == ({USDC: 5}, PARTNER, SAFE)


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("delegatecall", changed("SafeTx", ("message", "operation"), 1)),
        ("unsafe-call", changed("SafeTx", ("message", "gasPrice"), 1)),
        ("unsafe-call", changed("SafeTx", ("message", "refundReceiver"), PARTNER)),
        ("unknown-method", changed("SafeTx", ("message", "data"), "0xdeadbeef")),
        ("unsafe-call", changed("Permit", ("message", "owner"), PARTNER)),
        ("unknown-document", changed("PermitSingle", ("domain", "verifyingContract"), PARTNER)),
        ("unknown-document", changed("PermitSingle", ("domain", "name"), "Permit3")),
        ("unknown-document", changed("PermitSingle", ("primaryType",), "PermitDetails")),
        ("unknown-document", changed("PermitSingle", ("types", "PermitDetails", 1, "type"), "uint256")),
        ("unknown-document", changed("Permit", ("types", "Permit", 2, "name"), "amount")),
        ("unknown-document", changed("Permit", ("domain",), {"name": "USD Coin", "verifyingContract": USDC})),
        ("unknown-document", changed("Permit", ("types", "EIP712Domain"), [])),
        ("unknown-document", changed("Permit", ("types", "Extra"), [])),
        ("malformed-call", changed("Permit", ("message", "value"), "0x05")),
        ("malformed-call", changed("Permit", ("message", "value"), True)),
        ("malformed-call", changed("Permit", ("message", "value"), 2**256)),
        ("malformed-call", changed("Permit", ("message", "value"), "05")),
        ("malformed-call", changed("Permit", ("message", "spender"), "0x05")),
        ("malformed-call", changed("Permit", ("message",), {})),
        ("malformed-call", changed("Permit", ("message",), None)),
        ("malformed-call", changed("SafeTx", ("message", "data"), "deadbeef")),
        ("malformed-call", {}),
        ("unsafe-call", changed("PermitBatch", ("message", "details"), [])),
        ("unsafe-call", changed("PermitBatch", ("message", "details"), [ONE, ONE])),
    ],
)
def test_other_documents_are_refused(rule, given):
    assert rule_of(given) == rule


def test_a_user_operation_is_read_through_and_its_gas_counts_as_spent():
    found = decode_typed_data(VAULT, DOCUMENTS["PackedUserOperation"])
    assert dict(found.call.spends) == {USDC: 5, COIN: 350_000 * 3}
    assert (found.call.recipient, found.contract) == (PARTNER, ENTRY_POINT)
    assert ACCOUNT in found.call.others
    assert found.digest == UserOperation(
        ACCOUNT,
        7,
        EXECUTE.encode(USDC, 0, transfer_data(PARTNER, 5)),
        100_000,
        200_000,
        50_000,
        3,
        2,
        account_creation(FACTORY, VAULT, 1),
    ).hash(1, ENTRY_POINT)


BATCH = function("executeBatch((address,uint256,bytes)[] calls)")
PAY = (USDC, 0, transfer_data(PARTNER, 5))


def test_a_smart_accounts_batch_is_read_call_by_call():
    data = BATCH.encode([PAY, (PARTNER, 9, b""), PAY])
    found = decode_typed_data(VAULT, user_operation(call_data=data, init_code=b""))
    assert dict(found.call.spends) == {USDC: 10, COIN: 350_000 * 3 + 9}
    assert len(found.call.inner) == 3


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("unknown-method", user_operation(call_data=b"")),
        ("unknown-method", user_operation(call_data=transfer_data(PARTNER, 5))),
        ("unknown-method", user_operation(call_data=EXECUTE.encode(USDC, 0, b"\xde\xad\xbe\xef"))),
        ("malformed-call", user_operation(call_data=EXECUTE.encode(*PAY) + b"\0")),
        ("unsafe-call", user_operation(call_data=EXECUTE.encode(USDC, 1, transfer_data(PARTNER, 5)))),
        ("unsafe-call", user_operation(call_data=BATCH.encode([]))),
        ("unsafe-call", user_operation(call_data=BATCH.encode([PAY] * 33))),
        ("unsafe-call", user_operation(call_data=BATCH.encode([PAY, (USDC, 0, transfer_data(ROUTER, 5))]))),
        ("unsafe-call", user_operation(init_code=account_creation(FACTORY, PARTNER, 1))),
        ("unsafe-call", user_operation(init_code=account_creation(ROUTER, VAULT, 1))),
        ("unsafe-call", user_operation(init_code=b"\x13")),
        ("malformed-call", user_operation(init_code=account_creation(FACTORY, VAULT, 1) + b"\0")),
        ("unsafe-call", changed("PackedUserOperation", ("message", "paymasterAndData"), "0x" + "11" * 20)),
        ("malformed-call", changed("PackedUserOperation", ("message", "gasFees"), "0x11")),
        ("unknown-document", changed("PackedUserOperation", ("domain", "verifyingContract"), PARTNER)),
        ("unknown-document", changed("PackedUserOperation", ("domain", "name"), "ERC4338")),
    ],
)
def test_other_user_operations_are_refused(rule, given):
    assert rule_of(given) == rule


def test_what_chain_builds_for_a_safe_is_what_custody_reads():
    calls = [InnerCall(USDC, transfer_data(PARTNER, 5)), InnerCall(PARTNER, value_wei=9)]
    for transaction, spent in (
        (SafeTransaction(USDC, 7, data=transfer_data(PARTNER, 5)), {USDC: 5}),
        (batch(calls, "0x9641d764fc13c8B624c04430C7356C1C7C8102e2", 7), {USDC: 5, COIN: 9}),
    ):
        found = decode_typed_data(VAULT, transaction.typed_data(1, SAFE))
        assert found.digest == transaction.hash(1, SAFE)
        assert dict(found.call.spends) == spent
        carried = decode_call(VAULT, SAFE, transaction.execution(b"\0" * 130), chain_id=1)
        assert dict(carried.spends) == spent
        assert carried.recipient == PARTNER
