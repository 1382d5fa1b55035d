"""A remote signer is asked over HTTP and believed in nothing: our own service, and one that lies in every way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import (
    Address,
    ChainId,
    InputError,
    InvariantError,
    OutcomeUnknown,
    PlatformError,
    Refused,
    VenueUnavailable,
)
from runtime import Secret
from runtime.processes import free_port, spawn, terminate
from tests.wallets.rpc.certificates import Authority
from tests.wallets.test_sign_once import AllowAll
from wallets import (
    AuthorizationToSign,
    HdWallet,
    MessageToSign,
    Network,
    SignerClient,
    SignerService,
    SigningJournal,
    TransactionToSign,
    TypedDataToSign,
)
from wallets.external import Dialect, ExternalSigner, HttpChannel, RemoteTls
from wallets.rpc import ClientList, MutualTls, RpcMethods, RpcServer

DEVNET = Network.DEVNET
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=TEST_ADDRESSES[1],
    value_wei=5,
    data=b"\x01\x02",
    gas_limit=50_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
    access_list=((TEST_ADDRESSES[2], (b"\x07" * 32,)),),
)
LEGACY = replace(
    TX, type=0, nonce=1, gas_price_wei=9, max_fee_per_gas_wei=0, max_priority_fee_per_gas_wei=0, access_list=()
)
DOCUMENT = TypedDataToSign(
    {
        "types": {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "Note": [{"name": "n", "type": "uint8"}]},
        "primaryType": "Note",
        "domain": {"chainId": 1337},
        "message": {"n": 3},
    }
)
KEY = HdWallet(Secret(TEST_MNEMONIC)).signer(3)
OTHER = HdWallet(Secret(TEST_MNEMONIC)).signer(4)


@pytest.fixture
async def tls_port(tmp_path: Path) -> AsyncIterator[tuple[int, RemoteTls, RemoteTls]]:
    """Our own signer behind mutual TLS; the files of a client that it lists, and of one that it does not."""
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("signer")
    listed, unlisted = authority.issue("listed"), authority.issue("unlisted")
    (tmp_path / "clients.toml").write_text(
        f'[[client]]\nname = "us"\nfingerprint = "{listed[2]}"\nkeys = ["{KEY.address}"]\n'
        'purposes = ["transaction", "message", "typed-data"]\n'
    )
    port = free_port()
    with SigningJournal(tmp_path / "remote.db", now_ns=lambda: 10**18) as journal:
        service = SignerService([KEY], guard=AllowAll(), journal=journal)
        async with RpcServer(RpcMethods(service, network=DEVNET)) as server:
            clients = ClientList.load(tmp_path / "clients.toml")
            await server.listen_tls(MutualTls("127.0.0.1", port, certificate, key, authority.path, clients))
            yield port, RemoteTls(authority.path, *listed[:2]), RemoteTls(authority.path, *unlisted[:2])


async def test_our_own_signer_over_mutual_tls_signs_what_its_key_would(
    tls_port: tuple[int, RemoteTls, RemoteTls],
) -> None:
    port, tls, _ = tls_port
    async with HttpChannel(f"https://127.0.0.1:{port}/", tls=tls) as channel:
        await channel.check(KEY.address)
        with pytest.raises(InputError, match="does not list"):
            await channel.check(OTHER.address)
        signer = ExternalSigner(channel, KEY.address, is_test_key=True)
        for tx in (TX, LEGACY, replace(TX, type=1, nonce=2, **FEES_OF_TYPE_1)):
            assert await signer.sign_transaction(tx, network=DEVNET) == await KEY.sign_transaction(tx, network=DEVNET)
        message = MessageToSign(b"hello")
        assert await signer.sign_message(message, network=DEVNET) == await KEY.sign_message(message, network=DEVNET)
        assert await signer.sign_typed_data(DOCUMENT, network=DEVNET) == await KEY.sign_typed_data(
            DOCUMENT, network=DEVNET
        )
        with pytest.raises(Refused) as refused:
            await signer.sign_transaction(replace(TX, value_wei=6), network=DEVNET)
        assert refused.value.rule == "sign-once"
        for network in (Network.LIVE, Network.TESTNET):
            with pytest.raises(Refused) as refused:
                await signer.sign_transaction(TX, network=network)
            assert refused.value.rule == "test-key"
        with pytest.raises(InputError, match="cannot sign an authorization"):
            await signer.sign_authorization(
                AuthorizationToSign(chain_id=ChainId(1337), delegate=TEST_ADDRESSES[1], nonce=0), network=DEVNET
            )


FEES_OF_TYPE_1: dict[str, Any] = {"gas_price_wei": 9, "max_fee_per_gas_wei": 0, "max_priority_fee_per_gas_wei": 0}


async def test_who_is_not_on_its_list_gets_nothing(tls_port: tuple[int, RemoteTls, RemoteTls], tmp_path: Path) -> None:
    port, tls, unlisted = tls_port
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    async with HttpChannel(f"https://127.0.0.1:{port}/", tls=unlisted) as channel:
        with pytest.raises(Refused, match="does not let us in"):
            await channel.check(KEY.address)
    # A server whose certificate our authority did not sign is not spoken to.
    async with HttpChannel(f"https://127.0.0.1:{port}/", tls=replace(tls, authority=stranger.path)) as channel:
        with pytest.raises(VenueUnavailable):
            await channel.check(KEY.address)


class Liar:
    """A remote signer that answers what a test tells it to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reply: Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]
        self.asked: list[dict[str, Any]] = []

    def answer(self, result: Any) -> None:
        """Answer the next questions with a result."""
        self.say(lambda request: {"jsonrpc": "2.0", "id": request["id"], "result": result})

    def say(self, make: Callable[[dict[str, Any]], Any], status: int = 200) -> None:
        """Answer the next questions with a body."""

        async def reply(request: dict[str, Any]) -> web.StreamResponse:
            return web.json_response(make(request), status=status)

        self.reply = reply

    async def handle(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.asked.append(question)
        return await self.reply(question)


@pytest.fixture
async def liar() -> AsyncIterator[tuple[Liar, ExternalSigner]]:
    port = free_port()
    liar = Liar(f"http://127.0.0.1:{port}/")
    application = web.Application()
    application.router.add_post("/", liar.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with HttpChannel(liar.url, timeout_s=30) as channel:
        yield liar, ExternalSigner(channel, KEY.address, is_test_key=True)
    await runner.cleanup()


LIES: dict[str, TransactionToSign] = {
    "to": replace(TX, to=TEST_ADDRESSES[9]),
    "value_wei": replace(TX, value_wei=6),
    "data": replace(TX, data=b"\x01\x03"),
    "nonce": replace(TX, nonce=1),
    "chain_id": replace(TX, chain_id=ChainId(1)),
    "gas_limit": replace(TX, gas_limit=50_001),
    "max_fee_per_gas_wei": replace(TX, max_fee_per_gas_wei=11),
    "max_priority_fee_per_gas_wei": replace(TX, max_priority_fee_per_gas_wei=2),
    "access_list": replace(TX, access_list=()),
    "type": replace(TX, type=1, **FEES_OF_TYPE_1),
}


@pytest.mark.parametrize("field", LIES)
async def test_a_transaction_with_one_field_changed_is_not_taken(liar: tuple[Liar, ExternalSigner], field: str) -> None:
    server, signer = liar
    signed = await KEY.sign_transaction(LIES[field], network=DEVNET)
    for form in ("0x" + signed.raw.hex(), {"raw": "0x" + signed.raw.hex(), "tx": {"to": TX.to}}):
        server.answer(form)
        with pytest.raises(InvariantError, match=field):
            await signer.sign_transaction(TX, network=DEVNET)
    assert server.asked[0]["method"] == "eth_signTransaction"
    assert server.asked[0]["params"][0]["from"] == KEY.address


async def test_signatures_of_another_key_or_content_are_not_taken(liar: tuple[Liar, ExternalSigner]) -> None:
    server, signer = liar
    theirs = await OTHER.sign_transaction(TX, network=DEVNET)
    server.answer({"raw": "0x" + theirs.raw.hex(), "tx": {"from": KEY.address}})
    with pytest.raises(InvariantError, match=OTHER.address):
        await signer.sign_transaction(TX, network=DEVNET)
    message = MessageToSign(b"hello")
    for forged in (
        await OTHER.sign_message(message, network=DEVNET),
        await KEY.sign_message(MessageToSign(b"hullo"), network=DEVNET),
        await KEY.sign_typed_data(DOCUMENT, network=DEVNET),
    ):
        server.answer("0x" + forged.to_bytes().hex())
        with pytest.raises(InvariantError):
            await signer.sign_message(message, network=DEVNET)
    honest = await KEY.sign_message(message, network=DEVNET)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    server.answer("0x" + replace(honest, s=order - honest.s, y_parity=1 - honest.y_parity).to_bytes().hex())
    with pytest.raises(InvariantError, match="out of range"):
        await signer.sign_message(message, network=DEVNET)
    # A device that counts the parity from zero is understood.
    server.answer("0x" + honest.to_bytes()[:64].hex() + bytes([honest.y_parity]).hex())
    assert await signer.sign_message(message, network=DEVNET) == honest


@pytest.mark.parametrize(
    "answer", [None, True, 7, "", "0x", "0x0", "text", [], {}, {"raw": 1}, "0x02c0", "0x" + "00" * 65]
)
async def test_what_is_no_signature_at_all_is_not_taken(liar: tuple[Liar, ExternalSigner], answer: Any) -> None:
    server, signer = liar
    server.answer(answer)
    for ask in (
        signer.sign_transaction(TX, network=DEVNET),
        signer.sign_message(MessageToSign(b""), network=DEVNET),
        signer.sign_typed_data(DOCUMENT, network=DEVNET),
    ):
        with pytest.raises(InvariantError):
            await ask


async def test_errors_are_sorted_by_what_to_do_next(liar: tuple[Liar, ExternalSigner]) -> None:
    server, signer = liar
    cases: list[tuple[dict[str, Any], type[PlatformError]]] = [
        ({"code": -32003, "message": "no", "data": {"rule": "velocity"}}, Refused),
        ({"code": -32602, "message": "malformed"}, InputError),
        ({"code": -32000, "message": "busy"}, VenueUnavailable),
        ({"code": -32002, "message": "lost", "data": {"asked": "0x1"}}, OutcomeUnknown),
        ({}, VenueUnavailable),
    ]
    for error, family in cases:
        for status in (200, 400, 500):
            server.say(lambda request, error=error: {"id": request["id"], "error": error}, status)  # type: ignore[misc]
            with pytest.raises(family) as raised:
                await signer.sign_transaction(TX, network=DEVNET)
            if isinstance(raised.value, Refused):
                assert raised.value.rule == "velocity"


@pytest.mark.parametrize(
    "make",
    [
        lambda _request: {"id": "another", "result": "0x"},
        lambda request: {"id": request["id"]},
        lambda request: {"id": request["id"], "result": "0x", "error": {}},
        lambda _request: [],
        lambda request: {"id": request["id"], "result": "0x" + "00" * 2_000_000},
    ],
)
async def test_an_answer_that_cannot_be_matched_leaves_the_outcome_unknown(
    liar: tuple[Liar, ExternalSigner], make: Callable[[dict[str, Any]], Any]
) -> None:
    server, signer = liar
    server.say(make)
    with pytest.raises(OutcomeUnknown) as unknown:
        await signer.sign_transaction(TX, network=DEVNET)
    assert unknown.value.request_id == server.asked[-1]["id"]


async def test_silence_and_broken_connections_leave_the_outcome_unknown(liar: tuple[Liar, ExternalSigner]) -> None:
    server, _ = liar
    released = asyncio.Event()

    async def hang(_request: dict[str, Any]) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async def elsewhere(_request: dict[str, Any]) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:9/")

    async def cut(request: dict[str, Any]) -> web.StreamResponse:
        return web.Response(text=json.dumps({"id": request["id"], "result": "0x"})[:-5])

    for reply, timeout_s in ((hang, 0.5), (elsewhere, 30), (cut, 30)):
        server.reply = reply
        async with HttpChannel(server.url, timeout_s=timeout_s) as channel:
            signer = ExternalSigner(channel, KEY.address, is_test_key=True)
            with pytest.raises(OutcomeUnknown):
                await signer.sign_transaction(TX, network=DEVNET)
    released.set()


async def test_a_signer_that_is_not_there_has_signed_nothing() -> None:
    async with HttpChannel(f"http://127.0.0.1:{free_port()}/") as channel:
        with pytest.raises(VenueUnavailable):
            await ExternalSigner(channel, KEY.address, is_test_key=True).sign_transaction(TX, network=DEVNET)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://signer.example/", "https://127.0.0.1/", "http://me:pw@127.0.0.1/", "127.0.0.1"]
)
def test_urls_that_would_show_requests_to_others_are_refused(url: str) -> None:
    with pytest.raises(InputError) as refused:
        HttpChannel(url)
    assert "pw" not in str(refused.value)


async def test_web3signers_methods_are_spoken(liar: tuple[Liar, ExternalSigner]) -> None:
    server, signer = liar
    signer = ExternalSigner(signer._channel, KEY.address, is_test_key=True, dialect=Dialect.WEB3SIGNER)
    message = MessageToSign(b"hello")
    honest = await KEY.sign_message(message, network=DEVNET)
    server.answer("0x" + honest.to_bytes().hex())
    assert await signer.sign_message(message, network=DEVNET) == honest
    assert (server.asked[-1]["method"], server.asked[-1]["params"]) == ("eth_sign", [KEY.address, "0x68656c6c6f"])
    typed = await KEY.sign_typed_data(DOCUMENT, network=DEVNET)
    server.answer("0x" + typed.to_bytes().hex())
    assert await signer.sign_typed_data(DOCUMENT, network=DEVNET) == typed
    assert server.asked[-1]["method"] == "eth_signTypedData"
    assert json.loads(server.asked[-1]["params"][1]) == dict(DOCUMENT.document)


async def test_a_remote_key_stands_behind_a_signer_process_of_ours(
    liar: tuple[Liar, ExternalSigner], tmp_path: Path
) -> None:
    server, signer = liar
    url = signer._channel._url  # type: ignore[attr-defined]
    server.answer([KEY.address.lower(), TEST_ADDRESSES[0]])
    settings = f"""
[[venues]]
id = "binance"
exchange = "binance"
instruments = ["ETHUSDC"]

[custody]
account = "{KEY.address}"

[custody.policy]
chain_id = 1337
recipients = ["{TEST_ADDRESSES[1]}"]

[custody.policy.assets]
"eip155:1337/slip44:60" = {{ per_transaction_raw = "100", per_day_raw = "100" }}
"""
    (tmp_path / "capstan.toml").write_text(settings)
    command = [
        *(sys.executable, "-m", "cli", "signer", "serve", "--json", "--socket", str(tmp_path / "s.sock")),
        *("--journal", str(tmp_path / "journal.db"), "--config", str(tmp_path / "capstan.toml")),
        *("--remote", url, "--remote-address", KEY.address, "--remote-test-key"),
    ]
    process = await asyncio.to_thread(spawn, command, log=tmp_path / "signer.log", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        assert json.loads(line)["addresses"] == [KEY.address], (tmp_path / "signer.log").read_text()
        client = await SignerClient.connect(tmp_path / "s.sock")
        payment = replace(TX, data=b"", access_list=())
        signed = await KEY.sign_transaction(payment, network=DEVNET)
        asked = len(server.asked)
        with pytest.raises(Refused):
            await client.sign_transaction(replace(payment, to=TEST_ADDRESSES[9], nonce=3), network=DEVNET)
        assert len(server.asked) == asked  # our own policy came first
        server.answer("0x" + signed.raw.hex())
        assert await client.sign_transaction(payment, network=DEVNET) == signed
        server.answer("0x")
        assert await client.sign_transaction(payment, network=DEVNET) == signed  # kept: not asked again
    finally:
        terminate(process)


def test_an_address_is_not_taken_from_the_remote() -> None:
    signer = ExternalSigner(HttpChannel("http://127.0.0.1:9/"), Address(KEY.address))
    assert (signer.address, signer.is_test_key) == (KEY.address, False)
    assert KEY.address in repr(signer)
