"""The signer process: its command, its socket, its journal, and clients that believe nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import Address, ChainId, InputError, InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from runtime import Secret
from runtime.processes import spawn, terminate
from wallets import (
    Evidence,
    HdWallet,
    KeySigner,
    MessageToSign,
    Network,
    SignerClient,
    SignerService,
    SigningJournal,
    Spent,
    TransactionToSign,
    TypedDataToSign,
    create_keystore,
    write_private_file,
)
from wallets.wire import LINE_BYTES_MAX

TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=TEST_ADDRESSES[1],
    gas_limit=21_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
)
DOCUMENT = {"types": {"EIP712Domain": [], "Note": []}, "primaryType": "Note", "domain": {}, "message": {}}


class ValueGuard:
    """Allows up to 100 wei a day, and messages that say please."""

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        if spent("coin", 86_400) + tx.value_wei > 100:
            raise Refused("too much", rule="velocity", hint="wait")
        return {"coin": tx.value_wei}

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        if b"please" not in message.content:
            raise Refused("impolite", rule="message")

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        return None


@pytest.fixture
def key() -> KeySigner:
    return HdWallet(Secret(TEST_MNEMONIC)).signer(3)


@pytest.fixture
async def socket(tmp_path: Path, key: KeySigner) -> AsyncIterator[Path]:
    """A running service's socket."""
    path, stop, ready = tmp_path / "signer.sock", asyncio.Event(), asyncio.Event()
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as journal:
        service = SignerService([key], guard=ValueGuard(), journal=journal)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.serve(path, stop, ready=ready))
            await ready.wait()
            yield path
            stop.set()


async def test_a_client_gets_the_same_signatures_as_the_key_itself_would_give(socket: Path, key: KeySigner) -> None:
    client = await SignerClient.connect(socket)
    assert client.address == key.address
    devnet = Network.DEVNET
    assert await client.sign_transaction(TX, network=devnet) == await key.sign_transaction(TX, network=devnet)
    message = MessageToSign(b"please")
    assert await client.sign_message(message, network=devnet) == await key.sign_message(message, network=devnet)
    data = TypedDataToSign(DOCUMENT)
    assert await client.sign_typed_data(data, network=devnet) == await key.sign_typed_data(data, network=devnet)


async def test_refusals_arrive_with_their_rule_and_hint(socket: Path) -> None:
    client = await SignerClient.connect(socket, TEST_ADDRESSES[3])
    devnet = Network.DEVNET
    with pytest.raises(Refused) as refused:
        await client.sign_transaction(replace(TX, value_wei=101), network=devnet)
    assert (refused.value.rule, refused.value.hint) == ("velocity", "wait")
    await client.sign_transaction(replace(TX, value_wei=60), network=devnet)
    with pytest.raises(Refused):
        await client.sign_transaction(replace(TX, nonce=1, value_wei=60), network=devnet)
    with pytest.raises(Refused) as refused:
        await client.sign_transaction(TX, network=devnet)
    assert refused.value.rule == "sign-once"
    with pytest.raises(Refused) as refused:
        await client.sign_transaction(replace(TX, nonce=2), network=Network.LIVE)
    assert refused.value.rule == "test-key"
    with pytest.raises(Refused):
        await client.sign_message(MessageToSign(b"now"), network=devnet)
    with pytest.raises(InputError):
        await SignerClient.connect(socket, TEST_ADDRESSES[0])
    with pytest.raises(InputError):
        await SignerClient(socket, TEST_ADDRESSES[0]).sign_transaction(TX, network=devnet)


def request(**fields: Any) -> bytes:
    """One line that asks for a transaction's signature."""
    return json.dumps({"method": "sign_transaction", "signer": TEST_ADDRESSES[3]} | fields).encode() + b"\n"


async def test_only_the_owner_may_open_the_socket(socket: Path) -> None:
    mode = os.stat(socket).st_mode  # noqa: PTH116
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"not json\n",
        b"[]\n",
        b"{}\n",
        b'{"method":"sign_digest","payload":{}}\n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
        request(network="devnet"),
        request(network="moon", payload={}),
        request(network="devnet", payload={"nonce": 1}),
        b"x" * (LINE_BYTES_MAX + 10) + b"\n",
    ],
)
async def test_malformed_requests_are_answered_and_leave_the_service_well(socket: Path, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 20)
    with contextlib.suppress(ConnectionError):
        writer.write(line)
        await writer.drain()
    answer = json.loads(await asyncio.wait_for(reader.readline(), 60))
    assert answer["error"]["kind"] == "input"
    writer.close()
    await (await SignerClient.connect(socket)).sign_transaction(TX, network=Network.DEVNET)


async def serve_once(path: Path, reply: bytes | None) -> asyncio.Server:
    """A signer that answers with `reply`, or never."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if reply is None:
            await asyncio.sleep(30)
        writer.write(reply or b"")
        writer.close()

    return await asyncio.start_unix_server(converse, path)


async def test_no_signer_is_unavailable_and_a_lost_answer_is_unknown(tmp_path: Path) -> None:
    client = SignerClient(tmp_path / "s.sock", TEST_ADDRESSES[3], timeout_s=0.2)
    with pytest.raises(VenueUnavailable):
        await client.sign_transaction(TX, network=Network.DEVNET)
    for reply in (None, b"", b'{"result":', b"garbage\n"):
        server = await serve_once(tmp_path / "s.sock", reply)
        with pytest.raises(OutcomeUnknown):
            await client.sign_transaction(TX, network=Network.DEVNET)
        server.close()
        (tmp_path / "s.sock").unlink(missing_ok=True)


async def test_a_signer_that_signs_something_else_is_not_believed(tmp_path: Path, key: KeySigner) -> None:
    other = await key.sign_transaction(replace(TX, value_wei=1), network=Network.DEVNET)
    stranger = await HdWallet(Secret(TEST_MNEMONIC)).signer(4).sign_transaction(TX, network=Network.DEVNET)
    client = SignerClient(tmp_path / "s.sock", key.address)
    for raw in (other.raw, stranger.raw):
        reply = json.dumps({"result": {"raw": "0x" + raw.hex()}}).encode() + b"\n"
        server = await serve_once(tmp_path / "s.sock", reply)
        with pytest.raises(InvariantError):
            await client.sign_transaction(TX, network=Network.DEVNET)
        server.close()
        (tmp_path / "s.sock").unlink(missing_ok=True)


async def test_a_killed_signers_socket_is_taken_over_and_a_live_one_is_not(tmp_path: Path, socket: Path) -> None:
    with SigningJournal(tmp_path / "second.db", now_ns=lambda: 0) as journal:
        service = SignerService([], guard=ValueGuard(), journal=journal)
        with pytest.raises(InputError, match="another signer"):
            await service.serve(socket, asyncio.Event())
        (tmp_path / "file").write_text("precious")
        with pytest.raises(InputError, match="not a socket"):
            await service.serve(tmp_path / "file", asyncio.Event())


PASSWORD = "a-password-nobody-else-has"


def prepare(folder: Path) -> list[str]:
    """A keystore, its password, a policy, and the command that serves them."""
    key = HdWallet(Secret(TEST_MNEMONIC)).signer(3)
    write_private_file(folder / "password", PASSWORD)
    document = create_keystore(key.reveal_private_key(), Secret(PASSWORD), is_test_key=True, scrypt_n=1 << 10)
    write_private_file(folder / "key.json", document)
    command = [sys.executable, "-m", "cli", "signer", "serve", "--json", "--socket", str(folder / "s.sock")]
    return [*command, "--keystore", str(folder / "key.json"), "--password-ref", f"file:{folder / 'password'}"]


def start(command: list[str], folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    process = spawn(command, log=folder / "signer.log", stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


async def test_the_command_serves_until_sigterm_survives_sigkill_and_shows_no_secret(tmp_path: Path) -> None:
    command = prepare(tmp_path)
    process, ready = await asyncio.to_thread(start, command, tmp_path)
    try:
        assert ready["addresses"] == [TEST_ADDRESSES[3]]
        client = await SignerClient.connect(tmp_path / "s.sock")
        with pytest.raises(Refused) as refused:  # no --config, no policy
            await client.sign_transaction(TX, network=Network.DEVNET)
        assert refused.value.rule == "no-policy"
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        with pytest.raises(VenueUnavailable):
            await client.sign_transaction(TX, network=Network.DEVNET)
        process, _ = await asyncio.to_thread(start, command, tmp_path)
        await SignerClient.connect(tmp_path / "s.sock")
        assert await asyncio.to_thread(terminate, process) == 0
    finally:
        terminate(process)
    key = HdWallet(Secret(TEST_MNEMONIC)).signer(3).reveal_private_key().hex()
    seen = arguments.decode() + (tmp_path / "signer.log").read_text() + json.dumps(ready)
    assert PASSWORD not in seen
    assert key not in seen
    assert "junk" not in seen


@pytest.mark.parametrize("fault", ["wrong password", "no keystore", "no password file"])
def test_a_signer_that_cannot_start_says_why_in_one_line(tmp_path: Path, fault: str) -> None:
    command = prepare(tmp_path)
    if fault == "wrong password":
        (tmp_path / "password").write_text("other")
    else:
        (tmp_path / ("key.json" if fault == "no keystore" else "password")).unlink()
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in result.stderr


def test_an_unknown_outcome_stays_one_on_its_way_through_the_socket() -> None:
    from wallets.wire import error_from, error_message

    told = error_from(error_message(OutcomeUnknown("lost", request_id="r1", hint="ask"))["error"])
    assert isinstance(told, OutcomeUnknown)
    assert (str(told), told.request_id, told.hint) == ("lost", "r1", "ask")
