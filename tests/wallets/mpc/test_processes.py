"""The whole of it: three cosigner processes over mutual TLS, a coordinator, and a transaction mined on the devnet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from domain import Address, InputError, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, WALLET
from tests.wallets.mpc.processes import Processes
from wallets import Network
from wallets.mpc import MpcSigner, PartyLink
from wallets.mpc.requests import LINE_BYTES_MAX
from wallets.mpc.tls import Authority, TlsFiles

POLICY = """[policy]
chain_id = 1337
recipients = ["{recipient}"]
[policy.assets."eip155:1337/slip44:60"]
per_transaction_raw = "100"
per_day_raw = "1000"
"""


@pytest.fixture
def processes(committee_root: Path) -> Iterator[Processes]:
    running = Processes(committee_root, POLICY.format(recipient=TX.to))
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
    for edge in range(1, 5):
        tx = replace(TX, nonce=edge)
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
    peer = TlsFiles(tmp_path / "committee" / "party-2")
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


async def test_secrets_are_in_no_log_and_no_process_list(processes: Processes, committee_root: Path) -> None:
    secrets = [(committee_root / f"party-{n}" / "kek").read_text().strip() for n in (1, 2, 3)]
    for party in (1, 2, 3):
        text = processes.log(party)
        process = processes._running[party]
        text += Path(f"/proc/{process.pid}/cmdline").read_text() + Path(f"/proc/{process.pid}/environ").read_text()
        assert not any(secret in text for secret in secrets)
