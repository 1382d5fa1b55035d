"""`python -m soak.cosigners [KILLS] [SEED]`: cosigner processes killed while they sign, 100 times by default.

Three processes over mutual TLS sign one transaction after another, with presignatures and without; somewhere in each a
random one gets SIGKILL, and is started again afterwards. After each, every pair must give the same bytes for the nonce
and refuse another transaction for it. In the end the parties' files are read: nothing that conflicts was ever allowed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from domain import InvariantError, Refused, VenueUnavailable
from runtime import configure_logging
from tests.wallets.mpc.conftest import TX
from tests.wallets.mpc.processes import Processes
from wallets import Network, SignedTransaction
from wallets.mpc import MpcSigner, generate_wallet, init_committee

_WALLET = "soak"
_REACH_S = 0.05
"""A signature takes about 30 ms here: some kills come after it."""
_POLICY = f"""[policy]
chain_id = {TX.chain_id}
recipients = ["{TX.to}"]
[policy.assets."eip155:{TX.chain_id}/slip44:60"]
per_transaction_raw = "100"
per_day_raw = "100000"
"""


async def run(kills: int, seed: int) -> dict[str, object]:
    """Kill and sign; gives the figures, raises at the first thing that is wrong."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "committee"
        init_committee(root, threshold=2, endpoints=[("127.0.0.1", 7101 + n) for n in range(3)], is_test=True)
        processes = Processes(root, _POLICY)
        try:
            began = time.monotonic()
            links = processes.links()
            await generate_wallet(links, _WALLET, threshold=2)
            signer = await MpcSigner.connect(links, processes.committee, wallet=_WALLET)
            struck: Counter[str] = Counter()
            for nonce in range(kills):
                struck[await _one(signer, processes, nonce, draw)] += 1
            for link in links:
                await link.close()
            seconds = time.monotonic() - began
        finally:
            processes.stop()
        allowed = [_check_files(root / f"party-{party}", kills) for party in (1, 2, 3)]
    return {"kills": kills, "seed": seed, "outcomes": dict(struck), "allowed": allowed, "seconds": round(seconds)}


async def _one(signer: MpcSigner, processes: Processes, nonce: int, draw: random.Random) -> str:
    """One nonce and one death; tells whether the signature came through, or only when it was asked for again."""
    tx, victim = replace(TX, nonce=nonce), draw.choice((1, 2, 3))
    try:
        await signer.presign(draw.choice((0, 0, 1, 2)))
    except VenueUnavailable:
        raise InvariantError("with all parties up no presignature was made") from None

    async def strike() -> None:
        await asyncio.sleep(draw.random() * _REACH_S)
        processes.kill(victim)

    signed, _ = await asyncio.gather(
        signer.sign_transaction(tx, network=Network.DEVNET), strike(), return_exceptions=True
    )
    if isinstance(signed, BaseException) and not isinstance(signed, VenueUnavailable):
        raise InvariantError(f"nonce {nonce}, party {victim} killed: {signed!r}") from signed
    processes.start(victim)
    again = await signer.sign_transaction(tx, network=Network.DEVNET)
    if isinstance(signed, SignedTransaction) and signed != again:
        raise InvariantError(f"nonce {nonce}, party {victim} killed: two answers for one transaction")
    try:
        await signer.sign_transaction(replace(tx, value_wei=2), network=Network.DEVNET)
    except Refused:
        return "came through" if isinstance(signed, SignedTransaction) else "asked again"
    raise InvariantError(f"nonce {nonce}, party {victim} killed: two transactions were signed")


def _check_files(home: Path, nonces: int) -> int:
    """Every nonce a party ever allowed has one effect."""
    with sqlite3.connect(home / "journal.db") as journal:
        rows = journal.execute(
            "SELECT nonce, COUNT(DISTINCT effect) FROM signed GROUP BY key, chain_id, nonce"
        ).fetchall()
    if conflicting := [nonce for nonce, effects in rows if effects != 1]:
        raise InvariantError(f"{home.name} allowed different transactions for the nonces {conflicting}")
    if len(rows) > nonces:
        raise InvariantError(f"{home.name} allowed nonces that were never asked for")
    return len(rows)


if __name__ == "__main__":
    configure_logging(level="ERROR")
    given = [int(argument) for argument in sys.argv[1:3]]
    print(json.dumps(asyncio.run(run(*(given + [100, random.SystemRandom().randrange(10**6)][len(given) :])))))
