"""Software signing and watch-only derivation against the libraries everyone uses. Every answer is compared."""

from __future__ import annotations

import asyncio
import secrets

from bench.rows import Row, interleaved, ratio_row

# Many short turns: on a busy machine the median of a few long ones says more about its neighbours.
_SIGNATURES = 100
_ADDRESSES = 250
_ROUNDS = 41
_SEED = bytes(range(64))


def run() -> list[Row]:
    """Measure; takes about ten seconds."""
    return [_signing(), _watching()]


def _signing() -> Row:
    """EIP-1559: pack, sign, recover to the own address, assemble; `eth_account` only packs and signs."""
    from eth_account import Account

    from domain import Address, ChainId
    from wallets import KeySigner, Network, TransactionToSign

    secret = secrets.token_bytes(32)
    signer, account = KeySigner(secret), Account.from_key(secret)
    to = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    transactions = [
        TransactionToSign(
            chain_id=ChainId(1),
            nonce=nonce,
            to=to,
            value_wei=10**15 + nonce,
            data=bytes.fromhex("a9059cbb") + nonce.to_bytes(64, "big"),
            gas_limit=60_000,
            max_fee_per_gas_wei=30 * 10**9,
            max_priority_fee_per_gas_wei=10**9,
        )
        for nonce in range(_SIGNATURES)
    ]
    documents = [
        {
            "type": 2,
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "to": tx.to,
            "value": tx.value_wei,
            "data": tx.data,
            "gas": tx.gas_limit,
            "maxFeePerGas": tx.max_fee_per_gas_wei,
            "maxPriorityFeePerGas": tx.max_priority_fee_per_gas_wei,
        }
        for tx in transactions
    ]

    async def sign_all() -> list[bytes]:
        return [(await signer.sign_transaction(tx, network=Network.LIVE)).raw for tx in transactions]

    def ours() -> list[bytes]:
        return asyncio.run(sign_all())

    def theirs() -> list[bytes]:
        return [bytes(account.sign_transaction(document).raw_transaction) for document in documents]

    if ours() != theirs():
        raise AssertionError("the raw transactions differ")
    our_s, their_s = interleaved(ours, theirs, rounds=_ROUNDS)
    return ratio_row(
        topic="wallets",
        name="EIP-1559 sign and verify",
        ours=_SIGNATURES / our_s,
        unit="1/s",
        peer_name=f"eth_account.sign_transaction, {_SIGNATURES / their_s:.0f}/s",
        ratio=their_s / our_s,
        target=5,
    )


def _watching() -> Row:
    """EVM deposit addresses from an xpub; the peer is bip_utils' shortest way, without its wallet objects."""
    from bip_utils import Bip32Slip10Secp256k1, EthAddrEncoder

    from wallets.watch import WatchOnlyAccount

    extended = Bip32Slip10Secp256k1.FromSeed(_SEED).DerivePath("m/44'/60'/0'").PublicKey().ToExtended()
    account = WatchOnlyAccount(extended)
    branch = Bip32Slip10Secp256k1.FromExtendedKey(extended).ChildKey(0)

    def ours() -> list[str]:
        return list(account.evm(0, _ADDRESSES))

    def theirs() -> list[str]:
        children = (branch.ChildKey(index) for index in range(_ADDRESSES))
        return [EthAddrEncoder.EncodeKey(child.PublicKey().KeyObject()) for child in children]

    if ours() != theirs():
        raise AssertionError("the addresses differ")
    our_s, their_s = interleaved(ours, theirs, rounds=_ROUNDS)
    return ratio_row(
        topic="wallets",
        name="watch-only addresses",
        ours=_ADDRESSES / our_s,
        unit="1/s",
        peer_name=f"bip_utils ChildKey, {_ADDRESSES / their_s:.0f}/s",
        ratio=their_s / our_s,
        target=1.8,
    )
