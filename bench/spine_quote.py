"""A V3 quote in the local replica against `eth_call` to QuoterV2 on a devnet on the same machine.

Both answer the same random requests in turn, and every answer is compared: a fast wrong quote is no quote.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time

from bench.rows import Row, ratio_row

TARGET_RATIO = 50
_ROUNDS = 15
_REQUESTS = 20


def run() -> list[Row]:
    """Measure; takes about two seconds."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    from chain.abi import address_word, selector, uint_at, uint_word
    from chain.devnet import Devnet
    from dex import devnet_pools, read_pools

    method = selector("quoteExactInputSingle((address,address,uint256,uint24,uint160))")
    async with await Devnet.start() as devnet, devnet.client() as client:
        pool = devnet.world.pool("v3", "WETH", "USDC", 500)
        spec = next(s for s in devnet_pools(devnet.world).values() if s.address == pool.address)
        head = await client.head()
        (snapshot,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
        replica = spec.replica()
        replica.apply(snapshot)
        quoter = devnet.world.contracts["QuoterV2"]
        chance = random.Random(7)

        ours_us, theirs_us = [], []
        for _ in range(_ROUNDS):
            requests = []
            for _ in range(_REQUESTS):
                token = chance.choice([spec.token0, spec.token1])
                requests.append((token.id, int(10 ** chance.uniform(token.decimals - 2, token.decimals + 2))))
            calls = []
            for token_id, amount in requests:
                words = address_word(spec.address_of(token_id)) + address_word(spec.address_of(spec.other(token_id).id))
                calls.append(method + words + uint_word(amount) + uint_word(spec.fee_pips) + uint_word(0))

            began = time.perf_counter_ns()
            ours = [replica.quote_exact_in_down(token_id, amount) for token_id, amount in requests]
            ours_us.append((time.perf_counter_ns() - began) / 1_000 / _REQUESTS)

            began = time.perf_counter_ns()
            theirs = [uint_at(await client.call(quoter, data), 0) for data in calls]
            theirs_us.append((time.perf_counter_ns() - began) / 1_000 / _REQUESTS)
            if ours != theirs:
                raise AssertionError(f"replica and QuoterV2 disagree: {ours} {theirs}")

    value, peer = statistics.median(ours_us), statistics.median(theirs_us)
    return [
        ratio_row(
            topic="spine",
            name="V3 quote in the local replica",
            ours=value,
            unit="us",
            peer_name=f"eth_call to QuoterV2, {peer:.0f} us",
            ratio=peer / value,
            target=TARGET_RATIO,
        )
    ]
