"""A client's withdrawal, from the request to its broadcast, against signing alone with the same signer.

Everything is what production has: a signer process that the desks reach by its socket, cosigners over mutual TLS, a
node, and a database that syncs every commit. What lies between the two figures is holding the funds, screening, policy
twice, a nonce, the record before the signature and the one after it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.rows import Row, ratio_row

_COUNT = 30
_FAR = 1_000_000
"""Nonces of bare signatures lie so far ahead that nothing is ever sent under them."""
_LIMITS = 'per_transaction_raw = "1000"\nper_day_raw = "1000000"\n'


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))


async def _run(root: Path) -> list[Row]:
    from chain.devnet import TEST_ADDRESSES, Devnet, DevnetConfig
    from domain import Address
    from wallets import SignerClient

    recipient = TEST_ADDRESSES[8]
    async with AsyncExitStack() as opened:
        devnet = await opened.enter_async_context(await Devnet.start(DevnetConfig()))
        names = await _start_signer(root, recipient, opened)
        rows = []
        for name, address in names.items():
            await devnet.fund(address, eth_wei=10**18)
            signer = await SignerClient.connect(root / "signer.sock", Address(address))
            rows.append(await _measure(name, root / f"{name.split()[0]}.db", devnet, signer, recipient))
        return rows


async def _measure(name: str, path: Path, devnet: Any, signer: Any, recipient: Any) -> Row:
    """Time both by turns, so that whatever else the machine does is in both."""
    from domain import ChainId
    from wallets import Network, TransactionToSign

    tx = TransactionToSign(
        chain_id=ChainId(1337), nonce=0, to=recipient, value_wei=1, gas_limit=21_000, max_fee_per_gas_wei=10**10
    )
    bare, whole = [], []
    async with devnet.client() as client:
        desk, sent, stop = await _desk(path, client, signer, recipient)
        try:
            for number in range(_COUNT + 3):
                began = time.perf_counter()
                await signer.sign_transaction(replace(tx, nonce=_FAR + number), network=Network.DEVNET)
                signed_s = time.perf_counter() - began
                request = _request(recipient, f"k-{number}")
                sent.clear()
                began = time.perf_counter()
                await desk.request(request)
                async with asyncio.timeout(20):
                    await sent.wait()
                if number >= 3:  # the first ones warm up
                    bare.append(signed_s)
                    whole.append(sent.at - began)
                await asyncio.sleep(0.1)  # let it be mined and booked: one at a time is what is measured
        finally:
            await stop()
    alone, p50 = statistics.median(bare), statistics.median(whole)
    is_goal = name.startswith("MPC")
    return ratio_row(
        topic="custody",
        name=f"withdrawal request to broadcast, {name}, p50",
        ours=p50 * 1000,
        unit="ms",
        peer_name=f"signing alone, {alone * 1000:.1f} ms" + (" (at most 3 times that)" if is_goal else ""),
        ratio=(3 if is_goal else 1) * alone / p50,
        target=1 if is_goal else 0,
    )


class _Sent:
    """The instant at which bytes were handed to the node."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.at = 0.0

    def mark(self) -> None:
        self.at = time.perf_counter()
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self) -> None:
        await self._event.wait()


async def _desk(path: Path, client: Any, signer: Any, recipient: Any) -> tuple[Any, _Sent, Any]:
    from compliance import DenyListScreener
    from custody import Custody, DeskOptions, Ledger, Policy, open_books
    from custody.audit import AuditLog
    from custody.ledger import Entry, Posting
    from custody.withdrawals import AddressBook, WithdrawalDesk
    from domain import ChainId, native_asset
    from runtime.database import Database
    from wallets import Network

    sent = _Sent()
    send = client.broadcast

    async def broadcast(raws: Any) -> Any:
        sent.mark()
        return await send(raws)

    client.broadcast = broadcast
    deny = path.with_suffix(".deny")
    deny.write_text("")
    database = open_books(Database.at(path))
    ledger, audit = Ledger(database, time.time_ns), AuditLog(database, time.time_ns)
    coin = native_asset(ChainId(1337)).id
    ledger.post(
        Entry("grant", "grant", (Posting("user/u/available", coin, -(10**6)), Posting("equity/opening", coin, 10**6)))
    )
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=Policy(_policy(recipient)),
        screener=DenyListScreener(deny),
        signer=signer,
        chain=client,
        network=Network.DEVNET,
        options=DeskOptions(poll_s=0.02),
    )
    desk = WithdrawalDesk(
        database=database,
        ledger=ledger,
        audit=audit,
        screener=DenyListScreener(deny),
        addresses=AddressBook(database, audit, time.time_ns),
        transactions={(ChainId(1337), "default"): custody},
    )
    await custody.start(desk.notify)
    await desk.start()

    async def stop() -> None:
        await desk.stop()
        await custody.stop()
        database.dispose()

    return desk, sent, stop


def _policy(recipient: str) -> Any:
    from custody import AssetLimits, PolicySettings
    from domain import ChainId, native_asset

    limits = AssetLimits(per_transaction_raw=1000, per_day_raw=10**6)
    return PolicySettings(chain_id=1337, recipients=(recipient,), assets={native_asset(ChainId(1337)).id: limits})  # type: ignore[arg-type]


def _request(recipient: Any, key: str) -> Any:
    from custody.withdrawals import ChainDestination, WithdrawalRequest
    from domain import ChainId, native_asset

    return WithdrawalRequest(
        client="bench",
        key=key,
        user="u",
        asset=native_asset(ChainId(1337)),
        raw=1,
        destination=ChainDestination(ChainId(1337), recipient),
    )


async def _start_signer(root: Path, recipient: str, opened: AsyncExitStack) -> dict[str, str]:
    """One signer process with every kind of key this machine can have; gives their addresses by kind."""
    from runtime import Secret
    from runtime.processes import free_port
    from wallets import KeySigner, create_keystore
    from wallets.mpc import PartyLink, generate_wallet, init_committee, read_coordinator

    policy = f'chain_id = 1337\nrecipients = ["{recipient}"]\n'
    assets = f'assets."eip155:1337/slip44:60"]\n{_LIMITS}'
    (root / "policy.toml").write_text(f"[policy]\n{policy}[policy.{assets}")
    (root / "capstan.toml").write_text(
        f'mode = "live"\n[[venues]]\nid = "x"\nexchange = "binance"\nbase_url = "http://127.0.0.1:9"\n'
        f'instruments = ["ETHUSDC"]\n[custody]\naccount = "{recipient}"\n'
        f"[custody.policy]\n{policy}[custody.policy.{assets}"
    )
    committee = root / "committee"
    init_committee(committee, threshold=2, endpoints=[("127.0.0.1", free_port()) for _ in range(3)], is_test=True)
    for party in (1, 2, 3):
        _spawn(opened, "cosigner", "serve", committee / f"party-{party}", "--policy", root / "policy.toml")
    for process in list(_RUNNING):
        await asyncio.to_thread(process.stdout.readline)
    cards, tls = read_coordinator(committee / "coordinator")
    links = [PartyLink(card, tls, timeout_s=30) for card in cards.cards]
    names = {"MPC 2-of-3 over mTLS": await generate_wallet(links, "bench", threshold=2)}
    for link in links:
        await link.close()
    secret = os.urandom(32)
    names["software key"] = KeySigner(secret).address
    (root / "pw").write_text("bench\n")
    (root / "keystore.json").write_text(create_keystore(secret, Secret("bench"), is_test_key=True))
    hsm = _hsm(root, names)
    _spawn(
        opened,
        *("signer", "serve", "--socket", root / "signer.sock", "--config", root / "capstan.toml"),
        *("--keystore", root / "keystore.json", "--password-ref", f"file:{root / 'pw'}"),
        *("--committee", committee / "coordinator", "--mpc-wallet", "bench", *hsm),
    )
    await asyncio.to_thread(_RUNNING[-1].stdout.readline)
    return names


_RUNNING: list[Any] = []


def _spawn(opened: AsyncExitStack, *arguments: str | Path) -> None:
    from runtime.processes import spawn, terminate

    process = spawn([sys.executable, "-m", "cli", *map(str, arguments), "--json"], stdout=subprocess.PIPE)
    _RUNNING.append(process)
    opened.callback(terminate, process)


def _hsm(root: Path, names: dict[str, str]) -> tuple[str, ...]:
    """An HSM key, where SoftHSM2 is installed."""
    from cli.drill.house import Folders, softhsm_module, softhsm_tokens
    from domain import InputError
    from runtime import Secret
    from wallets.hsm import HsmToken

    try:
        module = softhsm_module()
    except InputError:
        return ()
    softhsm_tokens(Folders(root), ("bench",), pin="1234", officer_pin="5678")
    (root / "pin").write_text("1234\n")
    with HsmToken(module, "bench", Secret("1234")) as token:
        names["HSM (SoftHSM2)"] = token.create_key("k", is_test_key=True).address
    return ("--hsm-module", module, "--hsm-token", "bench", "--hsm-key", "k", "--pin-ref", f"file:{root / 'pin'}")


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']}: {row['value']:.1f} {row['unit']}; {row['peer']}; ratio {row['ratio']}")
    os._exit(0)
