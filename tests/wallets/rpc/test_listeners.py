"""Who is let in: clients by certificate, key and purpose; the owner's processes; no browser, no stranger."""

from __future__ import annotations

import ssl
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import Address, InputError
from runtime import Secret
from runtime.processes import free_port
from tests.wallets.rpc.certificates import Authority
from wallets import (
    Evidence,
    HdWallet,
    MessageToSign,
    Network,
    SignerService,
    SigningJournal,
    Spent,
    TransactionToSign,
    TypedDataToSign,
    parse,
    recover,
    signing_digest,
)
from wallets.payloads import Signature
from wallets.rpc import ClientList, MutualTls, RpcMethods, RpcServer

TX = {
    "from": TEST_ADDRESSES[3],
    "to": TEST_ADDRESSES[1].lower(),
    "value": "0x1",
    "nonce": "0x0",
    "gas": "0x5208",
    "chainId": "0x539",
    "maxFeePerGas": "0xa",
    "maxPriorityFeePerGas": "0x1",
}
DOCUMENT = {"types": {"EIP712Domain": [], "Note": []}, "primaryType": "Note", "domain": {}, "message": {}}


class AllowAll:
    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        return {}

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        return None

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        return None


@dataclass
class Listening:
    """One service behind all three listeners, and clients of the TLS one."""

    tls_port: int
    dev_port: int
    socket: Path
    authority: Authority
    certificates: dict[str, tuple[Path, Path]]

    async def ask(self, client: str, method: str, *params: Any) -> dict[str, Any]:
        """Call as a client of the TLS listener."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if client in self.certificates:
            context.load_cert_chain(*self.certificates[client])
        return await self.post(f"https://127.0.0.1:{self.tls_port}/", method, *params, ssl=context)

    async def post(self, url: str, method: str, *params: Any, **options: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        async with aiohttp.ClientSession() as session, session.post(url, json=body, **options) as response:
            answer = await response.json()
            assert isinstance(answer, dict)
            return answer | {"status": response.status}


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    authority = Authority(tmp_path)
    wallet = HdWallet(Secret(TEST_MNEMONIC))
    server_certificate, server_key, _ = authority.issue("signer")
    issued = {name: authority.issue(name) for name in ("payments", "messages", "unlisted")}
    issued["forger"] = Authority(tmp_path, "elsewhere").issue("forger")
    (tmp_path / "clients.toml").write_text(
        f"""
[[client]]
name = "payments"
fingerprint = "{issued["payments"][2].upper()}"
keys = ["{TEST_ADDRESSES[3]}"]
purposes = ["transaction"]

[[client]]
name = "messages"
fingerprint = "{issued["messages"][2]}"
keys = ["{TEST_ADDRESSES[3]}", "{TEST_ADDRESSES[4]}"]
purposes = ["message", "typed-data"]

[[client]]
name = "forger"
fingerprint = "{issued["forger"][2]}"
keys = ["{TEST_ADDRESSES[3]}"]
purposes = ["transaction"]
"""
    )
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as journal:
        service = SignerService([wallet.signer(3), wallet.signer(4)], guard=AllowAll(), journal=journal)
        async with RpcServer(RpcMethods(service, network=Network.DEVNET)) as server:
            tls_port, dev_port, socket = free_port(), free_port(), tmp_path / "rpc.sock"
            clients = ClientList.load(tmp_path / "clients.toml")
            tls = MutualTls("127.0.0.1", tls_port, server_certificate, server_key, authority.path, clients)
            await server.listen_tls(tls)
            await server.listen_dev_http(dev_port)
            await server.listen_unix(socket)
            yield Listening(tls_port, dev_port, socket, authority, {name: one[:2] for name, one in issued.items()})
    assert not socket.exists()


async def test_a_client_uses_its_keys_for_its_purposes_only(listening: Listening) -> None:
    assert (await listening.ask("payments", "eth_accounts"))["result"] == [TEST_ADDRESSES[3]]
    assert (await listening.ask("messages", "eth_accounts"))["result"] == sorted(TEST_ADDRESSES[3:5])
    signed = (await listening.ask("payments", "eth_signTransaction", TX))["result"]
    tx, signature = parse(bytes.fromhex(signed["raw"][2:]))
    assert recover(signing_digest(tx), signature) == TEST_ADDRESSES[3]
    for client, method, params in (
        ("payments", "eth_signTransaction", [TX | {"from": TEST_ADDRESSES[4]}]),
        ("payments", "personal_sign", ["0x68", TEST_ADDRESSES[3]]),
        ("payments", "eth_signTypedData_v4", [TEST_ADDRESSES[3], DOCUMENT]),
        ("messages", "eth_signTransaction", [TX | {"nonce": "0x1"}]),
    ):
        refused = (await listening.ask(client, method, *params))["error"]
        assert (refused["code"], refused["data"]["rule"]) == (-32003, "client")


async def test_messages_and_typed_data_are_signed_as_wallets_do(listening: Listening) -> None:
    hello = (await listening.ask("messages", "personal_sign", "0x68656c6c6f", TEST_ADDRESSES[4]))["result"]
    assert (
        recover(MessageToSign(b"hello").digest(), Signature.from_bytes(bytes.fromhex(hello[2:]))) == TEST_ADDRESSES[4]
    )
    for document in (DOCUMENT, '{"types":{"EIP712Domain":[],"Note":[]},"primaryType":"Note","domain":{},"message":{}}'):
        note = (await listening.ask("messages", "eth_signTypedData_v4", TEST_ADDRESSES[3], document))["result"]
        signature = Signature.from_bytes(bytes.fromhex(note[2:]))
        assert recover(TypedDataToSign(DOCUMENT).digest(), signature) == TEST_ADDRESSES[3]


async def test_a_certificate_that_is_not_listed_is_not_let_in(listening: Listening) -> None:
    assert (await listening.ask("unlisted", "eth_accounts"))["status"] == 403


@pytest.mark.parametrize("client", ["nobody", "forger"])
async def test_without_a_certificate_of_the_authority_there_is_no_connection(listening: Listening, client: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await listening.ask(client, "eth_accounts")


async def test_old_tls_is_not_spoken(listening: Listening) -> None:
    context = ssl.create_default_context(cafile=str(listening.authority.path))
    context.load_cert_chain(*listening.certificates["payments"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiohttp.ClientError):
        await listening.post(f"https://127.0.0.1:{listening.tls_port}/", "eth_accounts", ssl=context)


async def test_the_socket_is_the_owners_alone(listening: Listening) -> None:
    assert stat.S_IMODE(listening.socket.stat().st_mode) == 0o600
    connector = aiohttp.UnixConnector(str(listening.socket))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://signer/upcheck") as response:
        assert (response.status, await response.text()) == (200, "OK")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({}, 200),
    ],
)
async def test_a_browser_cannot_be_tricked_into_using_the_development_port(
    listening: Listening, headers: dict[str, str], status: int
) -> None:
    url = f"http://127.0.0.1:{listening.dev_port}/"
    assert (await listening.post(url, "eth_accounts", headers=headers))["status"] == status


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_sign", [TEST_ADDRESSES[3], "0x" + "11" * 32], -32003),
        ("eth_sendTransaction", [TX], -32601),  # no node
        ("eth_blockNumber", [], -32601),
        ("personal_unlockAccount", [TEST_ADDRESSES[3], "pw", 0], -32601),
        ("eth_signTransaction", [TX | {"maxFeePerBlobGas": "0x1"}], -32602),
        ("eth_signTransaction", [TX | {"to": None}], -32602),
        ("eth_signTransaction", [TX | {"gasPrice": "0x1"}], -32602),
        ("eth_signTransaction", [TX | {"data": "0x01", "input": "0x02"}], -32602),
        ("eth_signTransaction", [TX | {"value": "-0x1"}], -32602),
        ("eth_signTransaction", [TX | {"value": 1.5}], -32602),
        ("eth_signTransaction", [TX | {"nonce": None}], -32602),
        ("eth_signTransaction", [TX | {"from": TEST_ADDRESSES[5]}], -32602),
        ("eth_signTransaction", [TX | {"to": TEST_ADDRESSES[1].swapcase()}], -32602),
        ("eth_signTransaction", [TX, TX], -32602),
        ("eth_signTransaction", {"from": 1}, -32602),
        ("personal_sign", ["hello", TEST_ADDRESSES[3]], -32602),
        ("eth_signTypedData_v4", [TEST_ADDRESSES[3], "{"], -32602),
    ],
)
async def test_what_cannot_be_signed_is_answered_with_its_code(
    listening: Listening, method: str, params: Any, code: int
) -> None:
    body = {"jsonrpc": "2.0", "id": "x", "method": method, "params": params}
    url = f"http://127.0.0.1:{listening.dev_port}/"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        answer = await response.json()
    assert (answer["id"], answer["error"]["code"]) == ("x", code)


async def test_a_batch_is_answered_in_order_and_a_conflict_in_it_is_refused(listening: Listening) -> None:
    other = TX | {"value": "0x2"}
    batch = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(
            [("eth_accounts", []), ("eth_signTransaction", [TX]), ("eth_signTransaction", [other]), ("x", [])]
        )
    ]
    url = f"http://127.0.0.1:{listening.dev_port}/"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=batch) as response:
            answers = await response.json()
        assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
        assert answers[2]["error"]["data"]["rule"] == "sign-once"
        for body, code in ((b"[]", -32600), (b"{", -32700), (b"7", -32600), (b"[" * 5_000, -32700)):
            headers = {"Content-Type": "application/json"}
            async with session.post(url, data=body, headers=headers) as response:
                assert (await response.json())["error"]["code"] == code


def test_a_list_of_clients_that_is_none_is_refused(tmp_path: Path) -> None:
    grant = f'[[client]]\nname = "a"\nfingerprint = "{"ab" * 32}"\nkeys = ["{TEST_ADDRESSES[3]}"]\n'
    for text, word in (
        (grant, "required"),
        (grant + "purposes = []", "at least 1"),
        (grant + 'purposes = ["anything"]', "transaction"),
        (grant.replace("abab", "zz", 1) + 'purposes = ["message"]', "fingerprint"),
        (2 * (grant + 'purposes = ["message"]\n'), "twice"),
        ("[[client", "list of clients"),
    ):
        (tmp_path / "clients.toml").write_text(text)
        with pytest.raises(InputError, match=word):
            ClientList.load(tmp_path / "clients.toml")
    with pytest.raises(InputError):
        ClientList.load(tmp_path / "missing.toml")
