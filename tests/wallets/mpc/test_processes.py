"""The whole of it: three cosigner processes over mutual TLS, a coordinator, and a transaction mined on the devnet."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chain import ChainClient
from cli.main import main
from domain import Address, InputError, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, WALLET
from tests.wallets.mpc.processes import Processes
from wallets import Network, StatementToSign
from wallets.mpc import MpcSigner, PartyLink
from wallets.mpc.requests import LINE_BYTES_MAX
from wallets.mpc.tls import Authority, TlsFiles

POLICY = """[policy]
chain_id = 1337
recipients = ["{recipient}"]
statements = ["audit"]
[policy.assets."eip155:1337/slip44:60"]
per_transaction_raw = "100"
per_day_raw = "1000"
"""


@pytest.fixture(scope="module")
def processes(ceremony: tuple[Path, Address], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Shared by this file: every test leaves all three up, and signs under nonces of its own."""
    root = Path(shutil.copytree(ceremony[0], tmp_path_factory.mktemp("processes") / "committee"))
    running = Processes(root, POLICY.format(recipient=TX.to))
    yield running
    running.stop()


@pytest.mark.anvil
async def test_each_pair_signs_a_transaction_that_is_mined(
    processes: Processes, ceremony: tuple[Path, Address], chain_client: ChainClient
) -> None:
    address = ceremony[1]
    await chain_client.rpc.request("anvil_setBalance", address, hex(10**18))
    links = processes.links()
    signer = await MpcSigner.connect(links, processes.committee, wallet=WALLET, address=address)
    for nonce, absent in enumerate((1, 2, 3)):
        processes.kill(absent)
        signed = await signer.sign_transaction(replace(TX, nonce=nonce), network=Network.DEVNET)
        await chain_client.send_raw(signed.raw)
        receipt = await chain_client.wait_receipt(signed.hash)
        assert receipt.succeeded
        with pytest.raises(Refused) as refused:
            await signer.sign_transaction(replace(TX, nonce=nonce, value_wei=2), network=Network.DEVNET)
        assert refused.value.rule == "sign-once"
        processes.start(absent)
    with pytest.raises(Refused):
        await signer.sign_transaction(replace(TX, nonce=9, value_wei=101), network=Network.DEVNET)
    for link in links:
        await link.close()


async def test_a_party_killed_before_any_of_its_messages_leaves_one_signature_for_a_nonce(
    processes: Processes, ceremony: tuple[Path, Address]
) -> None:
    for edge in (2, 4):  # every other edge is in test_crashes.py
        tx = replace(TX, nonce=10 + edge)
        links = processes.links()
        doomed = KilledBefore(links[1], processes, edge)
        signer = await MpcSigner.connect(
            [links[0], doomed, links[2]], processes.committee, wallet=WALLET, address=ceremony[1]
        )
        signed = await signer.sign_transaction(tx, network=Network.DEVNET)
        assert doomed.is_dead
        processes.start(2)
        after = await MpcSigner.connect(processes.links(), processes.committee, wallet=WALLET, address=ceremony[1])
        assert await after.sign_transaction(tx, network=Network.DEVNET) == signed
        with pytest.raises(Refused):
            await after.sign_transaction(replace(tx, value_wei=2), network=Network.DEVNET)


class KilledBefore:
    """Party 2, which gets SIGKILL before its n-th message of a signature reaches it."""

    def __init__(self, inner: PartyLink, processes: Processes, edge: int) -> None:
        self._inner = inner
        self._processes = processes
        self._left = edge
        self.is_dead = False

    @property
    def party(self) -> int:
        return self._inner.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if method in ("sign", "step"):
            self._left -= 1
            if self._left == 0:
                self._processes.kill(2)
                self.is_dead = True
        return await self._inner.ask(method, fields)


async def test_only_the_pinned_coordinator_is_answered(processes: Processes, tmp_path: Path) -> None:
    card = processes.committee.cards[0]
    Authority().issue("stranger").write(tmp_path / "stranger")
    with pytest.raises(VenueUnavailable):
        await PartyLink(card, TlsFiles(tmp_path / "stranger")).ask("status")
    # A party is of the same CA, and no coordinator all the same.
    peer = TlsFiles(processes.root / "party-2")
    with pytest.raises(VenueUnavailable):
        await PartyLink(card, peer).ask("status")
    # The coordinator in turn believes the pin on the card, not the CA.
    with pytest.raises(VenueUnavailable):
        await PartyLink(replace(card, tls_pin=processes.committee.cards[1].tls_pin), processes.tls).ask("status")
    old = processes.tls.client_context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection(card.host, card.port, ssl=old)
    assert (await PartyLink(card, processes.tls).ask("status"))["party"] == 1


async def test_nonsense_from_the_coordinator_is_answered_not_obeyed(processes: Processes) -> None:
    link = processes.links()[0]
    for method, fields in {
        "sign_digest": {"digest": "11" * 32},
        "sign": {},
        "step": {"session": "zz"},
        "generate": {"wallet": 7},
        "activate": {"wallet": WALLET, "epoch": 7},
    }.items():
        with pytest.raises(InputError):
            await link.ask(method, fields)
    card = processes.committee.cards[0]
    context = processes.tls.client_context()
    for line in (b"not json\n", b"[]\n", b"\xff\n"):
        reader, writer = await asyncio.open_connection(card.host, card.port, ssl=context, limit=LINE_BYTES_MAX)
        writer.write(line)
        assert b'"error"' in await reader.readline()
        writer.close()
    assert (await link.ask("status"))["party"] == 1


def test_an_ed25519_key_is_made_and_makes_statements_by_command(
    processes: Processes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").write_bytes(b"root 42")
    coordinator = str(processes.root / "coordinator")

    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["cosigner", *arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out if ended.value.code == 0 else captured.err

    code, out = run("generate", coordinator, "voice", "--kind", "ed25519", "--json")
    key = json.loads(out)["address"]
    assert (code, key.startswith("ed25519:")) == (0, True)
    stating = ("state", coordinator, "voice", "audit", str(tmp_path / "root"))
    code, out = run(*stating, "--network", "devnet", "--json")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.removeprefix("ed25519:")))
    public.verify(bytes.fromhex(json.loads(out)["signature"]), StatementToSign("audit", b"root 42").signed_bytes())
    code, err = run(*stating)
    assert (code, "test key" in err) == (1, True)
    code, err = run("state", coordinator, "voice", "withdrawal", str(tmp_path / "root"), "--network", "devnet")
    assert (code, "makes no statements" in err) == (1, True)
    code, err = run("refresh", coordinator, "voice", "--json")
    assert (code, json.loads(err)["epoch"]) == (0, 2)
    code, err = run("generate", coordinator, "other", "--kind", "ed448")
    assert (code, "key_kind" in err) == (1, True)


async def test_secrets_are_in_no_log_and_no_process_list(processes: Processes) -> None:
    secrets = [(processes.root / f"party-{n}" / "kek").read_text().strip() for n in (1, 2, 3)]
    for party in (1, 2, 3):
        text = processes.log(party)
        process = processes._running[party]
        text += Path(f"/proc/{process.pid}/cmdline").read_text() + Path(f"/proc/{process.pid}/environ").read_text()
        assert not any(secret in text for secret in secrets)
