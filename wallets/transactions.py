"""Bytes of transactions: what is hashed to be signed, what is broadcast, and reading it back.

Type 0 signs the EIP-155 form, types 1, 2 and 4 their typed envelopes (EIP-2718, 2930, 1559, 7702).
"""

from __future__ import annotations

from functools import lru_cache

import capstan_native
from capstan_native import keccak256 as keccak
from coincurve import PublicKey
from eth_utils.address import to_checksum_address

from domain import Address, ChainId, InputError
from wallets import rlp
from wallets.payloads import (
    AccessList,
    AuthorizationToSign,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    TransactionToSign,
)

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def signing_digest(tx: TransactionToSign) -> bytes:
    """Hash what the signature covers."""
    if tx.type == 0:
        # EIP-155: the chain id takes the place of v, followed by two zeros.
        return keccak(rlp.wrap(body(tx) + rlp.encode(rlp.integer(tx.chain_id)) + b"\x80\x80"))
    return keccak(bytes([tx.type]) + rlp.wrap(body(tx)))


def is_cancel_form(sender: Address, tx: TransactionToSign) -> bool:
    """Whether a transaction does nothing but use its nonce up: no coins, no data, no lists, to the sender itself."""
    return tx.type != 4 and tx.to == sender and tx.value_wei == 0 and not tx.data and not tx.access_list


def assemble(tx: TransactionToSign, signature: Signature, sender: Address) -> SignedTransaction:
    """Join a transaction and its signature into broadcastable bytes."""
    v = signature.y_parity if tx.type else tx.chain_id * 2 + 35 + signature.y_parity
    tail = b"".join([rlp.encode(rlp.integer(number)) for number in (v, signature.r, signature.s)])
    raw = (bytes([tx.type]) if tx.type else b"") + rlp.wrap(body(tx) + tail)
    return SignedTransaction(raw, "0x" + keccak(raw).hex(), sender)


def parse(raw: bytes) -> tuple[TransactionToSign, Signature]:
    """Read signed bytes back into the payload and its signature.

    Raises:
        InputError: Not a canonical transaction of type 0 (with chain id), 1, 2 or 4.
        Refused: It carries an authorization for every chain (rule `any-chain`).
    """
    kind = raw[0] if raw[:1] in (b"\x01", b"\x02", b"\x04") else 0
    items = rlp.decode(raw[1:] if kind else raw)
    counts = {0: 9, 1: 11, 2: 12, 4: 13}
    if isinstance(items, bytes) or len(items) != counts[kind]:
        raise InputError(f"not a signed transaction of type {kind}")
    *fields, v, r, s = items
    if kind == 0:
        number = rlp.to_integer(v)
        if number < 37:
            raise InputError("a legacy transaction without a chain id is not accepted")
        chain_id, y_parity = (number - 35) // 2, (number - 35) % 2
        tx = _build(0, chain_id, fields)
    else:
        y_parity = rlp.to_integer(v)
        tx = _build(kind, rlp.to_integer(fields[0]), fields[1:])
    if y_parity > 1:
        raise InputError("y parity must be 0 or 1")
    return tx, Signature(_uint256(r), _uint256(s), y_parity)


def authority_of(signed: SignedAuthorization) -> Address:
    """Find whose account an authorization delegates; errors as `recover`."""
    return recover(signed.authorization.digest(), signed.signature)


def recover(digest: bytes, signature: Signature) -> Address:
    """Find who signed; a high s or an impossible signature is refused.

    Raises:
        InputError: The signature is malleable or invalid.
    """
    return address_of(recover_key(digest, signature))


def recover_key(digest: bytes, signature: Signature) -> PublicKey:
    """Find the public key that signed; errors as `recover`."""
    if not 0 < signature.s <= SECP256K1_ORDER // 2 or not 0 < signature.r < SECP256K1_ORDER:
        raise InputError("the signature's r or s is out of range")
    compact = signature.to_bytes()[:64] + bytes([signature.y_parity])
    try:
        return PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception as exc:  # coincurve raises bare Exception and ValueError
        raise InputError("the signature fits no public key") from exc


def address_of(public: PublicKey) -> Address:
    """Give the account of a public key, checksummed (EIP-55)."""
    return Address(capstan_native.address_of(public.format(compressed=False)[1:]))


@lru_cache(maxsize=16)  # hashed and assembled one after another: encoded once
def body(tx: TransactionToSign) -> bytes:
    """Encode the transaction's own fields and join them, without their list's prefix."""
    return b"".join([rlp.encode(field) for field in _fields(tx)])


def _fields(tx: TransactionToSign) -> list[rlp.Item]:
    """The transaction's own fields, in the order of its type."""
    to = bytes.fromhex(tx.to[2:])
    tail: list[rlp.Item] = [rlp.integer(tx.gas_limit), to, rlp.integer(tx.value_wei), tx.data]
    nonce = rlp.integer(tx.nonce)
    if tx.type == 0:
        return [nonce, rlp.integer(tx.gas_price_wei), *tail]
    access_list: rlp.Item = [[bytes.fromhex(address[2:]), list(slots)] for address, slots in tx.access_list]
    if tx.type == 1:
        fees = [rlp.integer(tx.gas_price_wei)]
    else:
        fees = [rlp.integer(tx.max_priority_fee_per_gas_wei), rlp.integer(tx.max_fee_per_gas_wei)]
    typed: list[rlp.Item] = [rlp.integer(tx.chain_id), nonce, *fees, *tail, access_list]
    return [*typed, [signed.items() for signed in tx.authorizations]] if tx.type == 4 else typed


def _build(kind: int, chain_id: int, fields: list[rlp.Item]) -> TransactionToSign:
    has_maximal_fees = kind in (2, 4)
    nonce, *rest = fields
    fees, rest = rest[: 2 if has_maximal_fees else 1], rest[2 if has_maximal_fees else 1 :]
    gas_limit, to, value, data, *lists = rest
    if not isinstance(to, bytes) or len(to) != 20 or not isinstance(data, bytes):
        raise InputError("a transaction needs a recipient of 20 bytes and data")
    prices = [rlp.to_integer(fee) for fee in fees]
    return TransactionToSign(
        type=kind,
        chain_id=ChainId(chain_id),
        nonce=rlp.to_integer(nonce),
        to=Address(to_checksum_address(to)),
        value_wei=rlp.to_integer(value),
        data=data,
        gas_limit=rlp.to_integer(gas_limit),
        gas_price_wei=0 if has_maximal_fees else prices[0],
        max_priority_fee_per_gas_wei=prices[0] if has_maximal_fees else 0,
        max_fee_per_gas_wei=prices[1] if has_maximal_fees else 0,
        access_list=_access_list(lists[0]) if kind else (),
        authorizations=_authorizations(lists[1]) if kind == 4 else (),
    )


def _access_list(item: rlp.Item) -> AccessList:
    if isinstance(item, bytes):
        raise InputError("an access list is a list")
    entries = []
    for entry in item:
        if isinstance(entry, bytes) or len(entry) != 2:
            raise InputError("an access list's entry is a pair")
        address, slots = entry
        if not isinstance(address, bytes) or len(address) != 20 or isinstance(slots, bytes):
            raise InputError("an access list's entry is an address and its slots")
        entries.append((Address(to_checksum_address(address)), tuple(_slot(slot) for slot in slots)))
    return tuple(entries)


def _authorizations(item: rlp.Item) -> tuple[SignedAuthorization, ...]:
    if isinstance(item, bytes):
        raise InputError("an authorization list is a list")
    found = []
    for entry in item:
        if isinstance(entry, bytes) or len(entry) != 6:
            raise InputError("an authorization has six fields")
        chain_id, delegate, nonce, y_parity, r, s = entry
        if not isinstance(delegate, bytes) or len(delegate) != 20 or rlp.to_integer(y_parity) > 1:
            raise InputError("an authorization names its delegate by 20 bytes, and a y parity of 0 or 1")
        authorization = AuthorizationToSign(
            chain_id=ChainId(rlp.to_integer(chain_id)),
            delegate=Address(to_checksum_address(delegate)),
            nonce=rlp.to_integer(nonce),
        )
        signature = Signature(_uint256(r), _uint256(s), rlp.to_integer(y_parity))
        found.append(SignedAuthorization(authorization, signature))
    return tuple(found)


def _uint256(item: rlp.Item) -> int:
    number = rlp.to_integer(item)
    if number >> 256:
        raise InputError("a signature's r and s have 32 bytes at most")
    return number


def _slot(item: rlp.Item) -> bytes:
    if not isinstance(item, bytes):
        raise InputError("a storage slot is bytes")
    return item
