"""2-of-3 signatures through three cosigner processes over mutual TLS, against the same mathematics in this process.

What lies between the two is what custody costs: parsing, a guard, two durable journals, TLS and four exchanges.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.rows import Row, ratio_row

_SIGNATURES = 40
_POLICY = """[policy]
chain_id = 1337
recipients = ["{recipient}"]
[policy.assets."eip155:1337/slip44:60"]
per_transaction_raw = "100"
per_day_raw = "100000"
"""


def run() -> list[Row]:
    """Measure; takes about fifteen seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder) / "committee"))


async def _run(root: Path) -> list[Row]:
    from capstan_native import MpcSession, MpcShare

    from domain import Address, ChainId
    from runtime.processes import free_port, spawn, terminate
    from wallets import Network, TransactionToSign
    from wallets.mpc import MpcSigner, PartyLink, PartyStore, generate_wallet, init_committee, open_home
    from wallets.mpc import read_coordinator as coordinator

    recipient = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    tx = TransactionToSign(
        chain_id=ChainId(1337), nonce=0, to=recipient, value_wei=1, gas_limit=21_000, max_fee_per_gas_wei=10**10
    )
    init_committee(root, threshold=2, endpoints=[("127.0.0.1", free_port()) for _ in range(3)], is_test=True)
    (root / "policy.toml").write_text(_POLICY.format(recipient=recipient))
    command = [sys.executable, "-m", "cli", "cosigner", "serve"]
    processes = [
        spawn(
            [*command, str(root / f"party-{party}"), "--policy", str(root / "policy.toml"), "--json"],
            stdout=subprocess.PIPE,
        )
        for party in (1, 2, 3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
        committee, tls = coordinator(root / "coordinator")
        links = [PartyLink(card, tls, timeout_s=30) for card in committee.cards]
        began = time.perf_counter()
        address = await generate_wallet(links, "bench", threshold=2)
        generation_s = time.perf_counter() - began
        signer = await MpcSigner.connect(links, committee, wallet="bench", address=address)
        over_tls, pure = [], []
        homes = [open_home(root / f"party-{party}") for party in (1, 2)]
        shares = []
        for home in homes:
            with PartyStore(home.root / "party.db", now_ns=time.time_ns) as store:
                shares.append(MpcShare.open(store.shares()[0].blob, home.kek, "bench", home.party, 1))
        for nonce in range(_SIGNATURES):
            began = time.perf_counter()
            await signer.sign_transaction(replace(tx, nonce=nonce), network=Network.DEVNET)
            over_tls.append(time.perf_counter() - began)
            digest, attempt = os.urandom(32), os.urandom(16)
            began = time.perf_counter()
            one, two = (
                MpcSession.sign(home.identity, share, home.committee.peers(home.party, (1, 2)), "m", digest, attempt)
                for home, share in zip(homes, shares, strict=True)
            )
            to_one: list[bytes] = []
            to_two: list[bytes] = []
            while not (one.is_done and two.is_done):
                from_one, from_two = one.step(to_one), two.step(to_two)
                to_one, to_two = [letter for _, letter in from_two], [letter for _, letter in from_one]
            pure.append(time.perf_counter() - began)
        await signer.presign(_SIGNATURES)
        presigned = []
        for nonce in range(_SIGNATURES, 2 * _SIGNATURES):
            began = time.perf_counter()
            await signer.sign_transaction(replace(tx, nonce=nonce), network=Network.DEVNET)
            presigned.append(time.perf_counter() - began)
    finally:
        for process in processes:
            terminate(process)
    p50, computed = statistics.median(over_tls), statistics.median(pure)
    return [
        ratio_row(
            topic="wallets",
            name="MPC 2-of-3 over mTLS, p50",
            ours=p50 * 1000,
            unit="ms",
            peer_name="its computation alone, both parties (at most 8 times that)",
            ratio=8 * computed / p50,
            target=1,
        ),
        ratio_row(
            topic="wallets",
            name="MPC 2-of-3 over mTLS, presigned, p50",
            ours=statistics.median(presigned) * 1000,
            unit="ms",
            peer_name="the same without a presignature (at most a third of that)",
            ratio=p50 / (3 * statistics.median(presigned)),
            target=1,
        ),
        ratio_row(
            topic="wallets",
            name="MPC 2-of-3 key generation",
            ours=generation_s,
            unit="s",
            peer_name="5 s",
            ratio=5 / generation_s,
            target=1,
        ),
    ]
