"""A frozen signer signs nothing, through restarts and crashes, until an operator lifts it beside the signer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import ChainId, InputError, Refused, VenueUnavailable
from runtime import Secret
from runtime.processes import terminate
from tests.wallets.test_service import DOCUMENT, TX, prepare, start
from wallets import (
    AuthorizationToSign,
    HdWallet,
    KeySigner,
    MessageToSign,
    Network,
    SignerClient,
    SignerService,
    SigningJournal,
    TransactionToSign,
    TypedDataToSign,
    sign_lift,
)

DEVNET = Network.DEVNET
AUTHORIZATION = AuthorizationToSign(chain_id=ChainId(1337), delegate=TEST_ADDRESSES[5], nonce=5)
OPERATOR = bytes(range(32))
OPERATORS = {"ann": Ed25519PrivateKey.from_private_bytes(OPERATOR).public_key().public_bytes_raw().hex()}


class AllowAll:
    """A guard that lets everything pass, so that only the freeze is in the way."""

    def check_transaction(self, *_: object, **__: object) -> dict[str, int]:
        return {}

    def check_message(self, *_: object, **__: object) -> None:
        return None

    check_typed_data = check_authorization = check_message


class Bench:
    """A signer process's inside: key, journal, service, and how to start it anew."""

    def __init__(self, folder: Path, operators: dict[str, str] | None = None, *, path: Path | None = None) -> None:
        self.key = HdWallet(Secret(TEST_MNEMONIC)).signer(3)
        self.path = path or folder / "journal.db"
        self._operators = operators
        self.restart()

    def restart(self, signer: KeySigner | None = None) -> None:
        """Open the journal again, as a new process does."""
        if hasattr(self, "journal"):
            self.journal.close()
        self.journal = SigningJournal(self.path, now_ns=lambda: 10**18, operators=self._operators)
        self.service = SignerService([signer or self.key], guard=AllowAll(), journal=self.journal)

    async def refuses_everything(self) -> bool:
        """Whether each kind of signature is refused by the freeze."""
        sender, service = self.key.address, self.service
        asked: list[Callable[[], Any]] = [
            lambda: service.sign_transaction(sender, TX, network=DEVNET),
            lambda: service.sign_transaction(sender, replace(TX, nonce=9), network=DEVNET),
            lambda: service.sign_message(sender, MessageToSign(b"please"), network=DEVNET),
            lambda: service.sign_typed_data(sender, TypedDataToSign(DOCUMENT), network=DEVNET),
            lambda: service.sign_authorization(sender, AUTHORIZATION, network=DEVNET),
        ]
        rules = []
        for ask in asked:
            try:
                await ask()
            except Refused as refused:
                rules.append(refused.rule)
        return rules == ["signer-frozen"] * len(asked)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.journal.close()


async def test_nothing_is_signed_while_frozen_not_even_what_was_signed_before(bench: Bench) -> None:
    await bench.service.sign_transaction(bench.key.address, TX, network=DEVNET)
    freeze = await bench.service.freeze("engine", "loss velocity")
    assert await bench.refuses_everything()
    assert await bench.service.freeze("engine", "again") == freeze  # Once a source.
    assert [item.number for item in bench.journal.freezes()] == [freeze.number]
    bench.restart()
    assert await bench.refuses_everything()


async def test_an_operator_lifts_it_in_the_journal_and_a_running_signer_goes_on(bench: Bench) -> None:
    first, second = await bench.service.freeze("engine", "a"), await bench.service.freeze("operator:ann", "b")
    beside = SigningJournal(bench.path, now_ns=lambda: 10**18)
    beside.lift(first.number, operator="ann", reason="looked")
    assert await bench.refuses_everything()  # The other stands.
    beside.lift(second.number, operator="ann", reason="looked")
    with pytest.raises(InputError):
        beside.lift(second.number, operator="ann", reason="looked")
    beside.close()
    assert (await bench.service.sign_transaction(bench.key.address, TX, network=DEVNET)).raw
    assert await bench.service.sign_message(bench.key.address, MessageToSign(b"x"), network=DEVNET)
    # The next one freezes again.
    await bench.service.freeze("engine", "c")
    assert await bench.refuses_everything()


async def test_where_operators_have_keys_only_their_signature_for_this_very_freeze_lifts_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OPERATORS)
    freeze = await bench.service.freeze("engine", "a")
    stranger = sign_lift(bytes(32), freeze, "ann", "looked")
    other_words = sign_lift(OPERATOR, freeze, "ann", "another reason")
    other_freeze = sign_lift(OPERATOR, replace(freeze, time_ns=freeze.time_ns + 1), "ann", "looked")
    for operator, signature in [("ann", b""), ("ann", stranger), ("ann", other_words), ("ann", other_freeze)]:
        with pytest.raises(Refused) as refused:
            bench.journal.lift(freeze.number, operator=operator, reason="looked", signature=signature)
        assert refused.value.rule == "operator"
    # Whoever writes such a row into the file gains nothing.
    raw = sqlite3.connect(bench.path)
    raw.execute("INSERT INTO lifts VALUES (?, 'ann', 'looked', ?, 0)", (freeze.number, stranger))
    raw.commit()
    assert await bench.refuses_everything()
    for statement in ("DELETE FROM freezes", "UPDATE freezes SET reason = ''", "DELETE FROM lifts"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)
    raw.close()
    signed = sign_lift(OPERATOR, freeze, "ann", "looked")
    bench.journal.lift(freeze.number, operator="ann", reason="looked", signature=signed)
    bench.restart()
    assert (await bench.service.sign_transaction(bench.key.address, TX, network=DEVNET)).raw
    bench.journal.close()


async def test_what_is_being_signed_when_the_freeze_comes_does_not_leave(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(KeySigner):
        async def sign_transaction(self, tx: TransactionToSign, **known: Any) -> Any:
            asked.set()
            await go_on.wait()
            return await super().sign_transaction(tx, **known)

    bench.restart(Slow(bench.key.reveal_private_key(), is_test_key=True))
    signing = asyncio.create_task(bench.service.sign_transaction(bench.key.address, TX, network=DEVNET))
    await asked.wait()
    await bench.service.freeze("engine", "now")
    go_on.set()
    with pytest.raises(Refused, match="frozen"):
        await signing
    bench.journal.close()


async def test_a_freeze_that_cannot_be_written_holds_as_long_as_the_process_lives(bench: Bench) -> None:
    bench.journal.close()
    with pytest.raises(VenueUnavailable):
        await bench.service.freeze("engine", "the disk is full")
    # As when the disk has room again: the journal allows, the process does not.
    reopened = SigningJournal(bench.path, now_ns=lambda: 10**18)
    bench.service._journal = reopened
    assert await bench.refuses_everything()
    reopened.close()


@pytest.mark.parametrize(("source", "reason"), [("", "x"), ("a b", "x"), ("engine", " "), ("engine", "x" * 401)])
async def test_a_freeze_needs_a_name_and_a_reason(bench: Bench, source: str, reason: str) -> None:
    with pytest.raises(InputError):
        await bench.service.freeze(source, reason)
    assert (await bench.service.sign_transaction(bench.key.address, TX, network=DEVNET)).raw


async def test_the_socket_freezes_and_has_no_request_that_lifts(bench: Bench, tmp_path: Path) -> None:
    path, stop, ready = tmp_path / "s.sock", asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.service.serve(path, stop, ready=ready))
        await ready.wait()
        client = await SignerClient.connect(path)
        frozen = await client.freeze("engine", "drawdown")
        assert await client.freezes() == [frozen]
        with pytest.raises(Refused) as refused:
            await client.sign_transaction(TX, network=DEVNET)
        assert (refused.value.rule, "unfreeze" in refused.value.hint) == ("signer-frozen", True)
        for method in ("unfreeze", "lift", "thaw"):
            asked = {"method": method, "number": frozen.number, "operator": "ann", "reason": "x"}
            for extra in ({}, {"network": "devnet", "signer": client.address, "payload": {}}):
                assert "error" in await bench.service.answer(asked | extra)
        assert await bench.refuses_everything()
        stop.set()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `capstan signer …` beside the signer of a folder."""
    line = [sys.executable, "-m", "cli", "signer", *arguments, "--json"]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder, timeout=60)


@pytest.mark.timeout(300)  # Seven processes, one after another.
async def test_a_freeze_outlives_kill_nine_of_the_process_until_the_operators_command(tmp_path: Path) -> None:
    serve = [*prepare(tmp_path), "--config", str(tmp_path / "capstan.toml")]
    (tmp_path / "capstan.toml").write_text(
        f"""[[venues]]
id = "v"
exchange = "binance"
instruments = ["ETHUSDC"]
[custody]
account = "{TEST_ADDRESSES[3]}"
operators = {{ ann = "{OPERATORS["ann"]}" }}
[custody.policy]
chain_id = 1337
recipients = ["{TEST_ADDRESSES[1]}"]
[custody.policy.assets]
"eip155:1337/slip44:60" = {{ per_transaction_raw = "100", per_day_raw = "100" }}
"""
    )
    (tmp_path / "ann.key").write_text(OPERATOR.hex())
    journal = ["--journal", str(tmp_path / "signer-journal.db")]
    process, _ = await asyncio.to_thread(start, serve, tmp_path)
    try:
        client = await SignerClient.connect(tmp_path / "s.sock")
        signed = await client.sign_transaction(TX, network=DEVNET)
        frozen = await client.freeze("engine", "drawdown: 501 > 500")
        os.kill(process.pid, signal.SIGKILL)  # The answer is here, so it is durable.
        await asyncio.to_thread(process.wait)
        process, _ = await asyncio.to_thread(start, serve, tmp_path)
        with pytest.raises(Refused) as refused:
            await client.sign_transaction(TX, network=DEVNET)
        assert refused.value.rule == "signer-frozen"

        listed = await asyncio.to_thread(command, tmp_path, "freezes", *journal)
        assert json.loads(listed.stdout)[0]["reason"] == "drawdown: 501 > 500"
        lift = ["unfreeze", str(frozen.number), "--operator", "ann", "--reason", "looked", "--yes", *journal]
        lift += ["--config", str(tmp_path / "capstan.toml")]
        unsigned = await asyncio.to_thread(command, tmp_path, *lift)
        assert unsigned.returncode != 0
        assert "did not sign" in unsigned.stderr
        done = await asyncio.to_thread(command, tmp_path, *lift, "--key-ref", f"file:{tmp_path / 'ann.key'}")
        assert json.loads(done.stdout) == {"number": frozen.number, "left": 0}
        assert await client.sign_transaction(TX, network=DEVNET) == signed

        # A running signer is told over its socket, one that is not running finds it in its journal.
        word = ["freeze", "--operator", "bob", "--reason", "holiday", *journal]
        told = await asyncio.to_thread(command, tmp_path, *word, "--socket", str(tmp_path / "s.sock"))
        assert json.loads(told.stdout)["source"] == "operator:bob"
        with pytest.raises(Refused):
            await client.sign_transaction(TX, network=DEVNET)
        assert await asyncio.to_thread(terminate, process) == 0
        word = ["freeze", "--operator", "cid", "--reason", "away", *journal, "--socket", str(tmp_path / "s.sock")]
        assert (await asyncio.to_thread(command, tmp_path, *word)).returncode == 0
        listed = await asyncio.to_thread(command, tmp_path, "freezes", *journal)
        assert [item["source"] for item in json.loads(listed.stdout)] == ["operator:bob", "operator:cid"]
    finally:
        terminate(process)
