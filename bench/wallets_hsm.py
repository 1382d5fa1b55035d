"""What our signing costs above a token's own: low s and the right parity, and whole transactions through the pool.

The peer is python-pkcs11 asking the same token for bare signatures of the same digests, half of which have a high s.
Needs SoftHSM2 (`scripts/services start --install`); without it there is no row.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.rows import Row, interleaved, ratio_row

# Many short turns, as for software: a busy machine's neighbours are in the median of a few long ones.
_SIGNATURES = 100
_ROUNDS = 21
_AT_A_TIME = 32
_PIN = "1234"  # of a token that lives as long as the bench
_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", *map(str, Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")))


def run() -> list[Row]:
    """Measure; takes about ten seconds."""
    module = next((module for module in _MODULES if Path(module).is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        return []
    before = os.environ.get("SOFTHSM2_CONF")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokens").mkdir()
        config = Path(folder) / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)
        try:
            arguments = ["--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", "5678"]
            subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
            return _measure(module)
        finally:
            if before is None:
                del os.environ["SOFTHSM2_CONF"]
            else:
                os.environ["SOFTHSM2_CONF"] = before


def _measure(module: str) -> list[Row]:
    from pkcs11 import Mechanism, ObjectClass

    from runtime import Secret
    from wallets.hsm import HsmToken

    digests = [number.to_bytes(32, "big") for number in range(1, _SIGNATURES + 1)]
    with HsmToken(module, "bench", Secret(_PIN)) as token:
        token.create_key("key", is_test_key=True)
        private = token._session.get_key(label="key", object_class=ObjectClass.PRIVATE_KEY)

        def ours() -> None:
            for digest in digests:
                token.sign_digest_unchecked("key", digest)

        def raw() -> None:
            for digest in digests:
                private.sign(digest, mechanism=Mechanism.ECDSA)

        our_s, raw_s = interleaved(ours, raw, rounds=_ROUNDS)
        pool_s, raw_beside_s = _through_the_pool(module, raw)
    return [
        ratio_row(
            topic="wallets",
            name="HSM signing with low s, recovered",
            ours=_SIGNATURES / our_s,
            unit="1/s",
            peer_name=f"raw PKCS#11, {_SIGNATURES / raw_s:.0f}/s",
            ratio=raw_s / our_s,
            target=0.7,
        ),
        ratio_row(
            topic="wallets",
            name="HSM transactions, per processor second of a worker",
            ours=_SIGNATURES / pool_s,
            unit="1/s",
            peer_name=f"raw PKCS#11, {_SIGNATURES / raw_beside_s:.0f}/s",
            ratio=raw_beside_s / pool_s,
            target=0.7,
        ),
    ]


def _through_the_pool(module: str, raw: Callable[[], None]) -> tuple[float, float]:
    """Sign transactions in one worker process, by turns with bare signatures of the same token.

    In seconds of the worker's processor, which bounds what a token can be asked: two processes and a busy machine's
    neighbours share its cores as they fall, so that the clock on the wall says little. Both are sums over all rounds,
    because the kernel counts a process's time in hundredths of a second.
    """
    from domain import Address, ChainId
    from runtime import Secret
    from wallets import Network, TransactionToSign
    from wallets.hsm import HsmPool, HsmSigner

    transactions = [
        TransactionToSign(
            chain_id=ChainId(1337),
            nonce=nonce,
            to=Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            value_wei=10**15,
            gas_limit=21_000,
            max_fee_per_gas_wei=30 * 10**9,
            max_priority_fee_per_gas_wei=10**9,
        )
        for nonce in range(_SIGNATURES)
    ]

    async def sign_all(signer: HsmSigner) -> None:
        waiting = iter(transactions)

        async def sign_some() -> None:
            for tx in waiting:
                await signer.sign_transaction(tx, network=Network.DEVNET)

        await asyncio.gather(*(sign_some() for _ in range(_AT_A_TIME)))

    pool = HsmPool(module, "bench", Secret(_PIN), ["key"], workers=1)
    ours_s, raw_s = [], []
    with asyncio.Runner() as runner:
        runner.run(pool.__aenter__())
        try:
            (worker,) = pool.process_ids
            for _ in range(_ROUNDS):
                before = _processor_s(worker)
                runner.run(sign_all(pool.signers[0]))
                ours_s.append(_processor_s(worker) - before)
                began = time.process_time()
                raw()
                raw_s.append(time.process_time() - began)
        finally:
            runner.run(pool.__aexit__(None, None, None))
    return sum(ours_s) / _ROUNDS, sum(raw_s) / _ROUNDS


def _processor_s(number: int) -> float:
    """Processor time another process has used."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
