"""Signer processes before a real token: signatures under load, workers that die, a token that goes and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from chain.devnet import TEST_ADDRESSES
from domain import ChainId, InputError, InvariantError, Refused, VenueUnavailable
from runtime import Secret
from runtime.processes import is_alive
from tests.wallets.hsm.soft_token import PIN, SoftTokens
from wallets import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    TransactionToSign,
    TypedDataToSign,
    authority_of,
    parse,
    recover,
    signing_digest,
)
from wallets.hsm import HsmPool, HsmToken

DEVNET = Network.DEVNET
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=TEST_ADDRESSES[1],
    gas_limit=21_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
)
DOCUMENT = {"types": {"EIP712Domain": [], "Note": []}, "primaryType": "Note", "domain": {}, "message": {}}


def make_key(tokens: SoftTokens, label: str = "hot", *, is_test_key: bool = True) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        token.create_key(label, is_test_key=is_test_key)


async def test_payloads_of_every_kind_are_signed_by_the_tokens_key(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=1) as pool:
        (signer,) = pool.signers
        for kind in (0, 1, 2):
            fees = {"max_fee_per_gas_wei": 0, "max_priority_fee_per_gas_wei": 0, "gas_price_wei": 9} if kind < 2 else {}
            tx = replace(TX, type=kind, **fees)
            signed = await signer.sign_transaction(tx, network=DEVNET)
            read, signature = parse(signed.raw)
            assert (read, recover(signing_digest(tx), signature)) == (tx, signer.address)
        delegation = AuthorizationToSign(chain_id=TX.chain_id, delegate=TEST_ADDRESSES[2], nonce=1)
        authorized = await signer.sign_authorization(delegation, network=DEVNET)
        assert (authorized.authorization, authority_of(authorized)) == (delegation, signer.address)
        setting_code = replace(TX, type=4, authorizations=(authorized,))
        read, signature = parse((await signer.sign_transaction(setting_code, network=DEVNET)).raw)
        assert (read, recover(signing_digest(setting_code), signature)) == (setting_code, signer.address)
        message, data = MessageToSign(b"hello"), TypedDataToSign(DOCUMENT)
        assert recover(message.digest(), await signer.sign_message(message, network=DEVNET)) == signer.address
        assert recover(data.digest(), await signer.sign_typed_data(data, network=DEVNET)) == signer.address


async def test_test_keys_and_others_stay_on_their_networks(tokens: SoftTokens) -> None:
    make_key(tokens, "dev")
    make_key(tokens, "real", is_test_key=False)
    async with HsmPool(tokens.module, "desk", PIN, ["dev", "real"], workers=1) as pool:
        dev, real = pool.signers
        for signer, network in ((dev, Network.LIVE), (dev, Network.TESTNET), (real, DEVNET)):
            with pytest.raises(Refused) as refused:
                await signer.sign_transaction(TX, network=network)
            assert refused.value.rule == "test-key"
        assert (await real.sign_transaction(TX, network=Network.LIVE)).sender == real.address


async def test_a_worker_takes_payloads_and_no_hashes(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=1) as pool:
        for kind, payload in (("digest", {"digest": "0x" + "11" * 32}), ("transaction", {"digest": "0x" + "11" * 32})):
            with pytest.raises(InputError):
                await pool.sign("hot", kind, payload)
        with pytest.raises(InputError, match="no key"):
            await pool.sign("cold", "message", {"content": "0x00"})


async def test_many_requests_over_two_workers_are_each_signed_and_valid(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=2) as pool:
        (signer,) = pool.signers
        wanted = [replace(TX, nonce=nonce) for nonce in range(300)]
        signed = await asyncio.gather(*(signer.sign_transaction(tx, network=DEVNET) for tx in wanted))
        assert [parse(one.raw)[0] for one in signed] == wanted


async def test_a_killed_worker_is_replaced_and_the_others_go_on(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=2) as pool:
        (signer,) = pool.signers
        doomed, other = pool.process_ids
        running = [
            asyncio.create_task(signer.sign_transaction(replace(TX, nonce=n), network=DEVNET)) for n in range(100)
        ]
        await asyncio.sleep(0)
        os.kill(doomed, signal.SIGKILL)
        results = await asyncio.gather(*running, return_exceptions=True)
        lost = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(result, VenueUnavailable) for result in lost)
        assert len(lost) <= 50
        assert await signer.sign_transaction(TX, network=DEVNET)
        async with asyncio.timeout(60):
            while len(pool.process_ids) < 2 or doomed in pool.process_ids:  # noqa: ASYNC110 - a process starts
                await asyncio.sleep(0.02)
        assert other in pool.process_ids
        processes = pool.process_ids
    assert not any(map(is_alive, processes))


async def test_what_waits_for_a_token_that_was_away_is_signed_when_it_returns(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=2) as pool:
        (signer,) = pool.signers
        assert await signer.sign_transaction(TX, network=DEVNET)
        tokens.remove()
        waiting = [
            asyncio.create_task(signer.sign_transaction(replace(TX, nonce=n), network=DEVNET)) for n in range(1, 21)
        ]
        finished, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not finished
        tokens.give_back()
        signed = await asyncio.gather(*waiting)  # Five seconds after it was asked, each would have given up.
        assert all(one.sender == signer.address for one in signed)


async def test_a_pool_that_cannot_start_says_why(tokens: SoftTokens, capfd: pytest.CaptureFixture[str]) -> None:
    make_key(tokens)
    with pytest.raises(InputError, match="does not take the PIN"):
        async with HsmPool(tokens.module, "desk", Secret("424242"), ["hot"], workers=2):
            raise AssertionError("not reached")
    with pytest.raises(InputError, match="no such key"):
        async with HsmPool(tokens.module, "desk", PIN, ["cold"], workers=1):
            raise AssertionError("not reached")
    with pytest.raises(InputError):
        HsmPool(tokens.module, "desk", PIN, [], workers=1)
    assert "424242" not in "".join(capfd.readouterr())


async def test_the_pin_stands_in_no_argument_and_no_environment(tokens: SoftTokens) -> None:
    with HsmToken(tokens.module, "desk", PIN) as token:
        token.create_key("hot")
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=1) as pool:
        (process,) = pool.process_ids
        command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        assert b"1234" not in command
        assert command[1:3] == [b"-m", b"wallets.hsm.worker"]
        environment = Path(f"/proc/{process}/environ").read_bytes()  # readable to root only: the process is hardened
        assert b"=1234\0" not in environment


async def test_an_answer_for_another_payload_is_not_handed_on(tokens: SoftTokens) -> None:
    make_key(tokens)
    async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=1) as pool:
        (signer,) = pool.signers
        signature = await signer.sign_message(MessageToSign(b"one"), network=DEVNET)
        with pytest.raises(InvariantError, match="does not recover"):
            signer._checked(MessageToSign(b"two").digest(), signature.to_bytes()[:64])
