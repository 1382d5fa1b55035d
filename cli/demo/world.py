"""The demo's outside world, in a process of its own: a chain, an exchange, and other people who trade on both.

Run as `python -m cli.demo.world DATA_DIR SEED [--faults]`. It writes `world.json` when everything is up, and ends when
told to (SIGTERM), when its lease file is gone, or when nobody has touched that for `LEASE_S`: a demo that was killed
can come back within that time and finds the same exchange and chain.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import structlog

from cex.sandbox import AccountSpec, FlowConfig, SandboxConfig, symbol_specs
from cex.sandbox import serve as serve_exchange
from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet, DevnetConfig
from cli.data_dir import DataDir, write_json
from cli.demo.installation import EXCHANGE_BALANCES, EXCHANGE_KEY, EXCHANGE_SECRET, VAULT, VAULT_TOKENS
from dex import PoolSpec, devnet_pools
from dex.execution.planning import devnet_routers, plan_approval, plan_swap
from domain import PlatformError, parse_units
from domain.plans import TransactionPlan
from runtime import configure_logging
from runtime.processes import stop_on_signals

log = structlog.get_logger(__name__)

LEASE_S = 60.0
BLOCK_TIME_S = 1
EPOCH_BLOCKS = 2
"""Nobody who tries something out waits the minute that 64 blocks take: here four are final."""
OTHER_TRADER = TEST_ADDRESSES[8]
"""Another person's test account, unlocked in the node: its swaps make the pools move."""
SWAP_PAUSE_S = 0.7
"""Mean time between other people's swaps."""
SWAP_USD_MEDIAN = 20_000
PRICES_USD = {"WETH": 3_000, "WBTC": 60_000, "USDC": 1}


async def run_world(data: DataDir, seed: int, *, with_faults: bool = False) -> None:
    """Bring chain and exchange up, trade on the pools, and stay until nobody needs it any more."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with await Devnet.start(DevnetConfig(block_time_s=BLOCK_TIME_S, epoch_blocks=EPOCH_BLOCKS)) as devnet:
        await _fund(devnet, VAULT, VAULT_TOKENS)
        await _fund(devnet, OTHER_TRADER, {"USDC": "20000000", "WETH": "3000", "WBTC": "150"})
        data.address_book.write_bytes(devnet.world.to_json())
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            config = exchange_config(seed, with_faults=with_faults)
            tasks.create_task(serve_exchange(config, stop=stop, ready=port.set_result), name="exchange")
            tasks.create_task(_trade_on_pools(devnet, seed, stop), name="other_traders")
            tasks.create_task(_watch_lease(data.lease, stop), name="lease")
            exchange_url = f"http://127.0.0.1:{await port}"
            world = {"pid": os.getpid(), "rpc_url": devnet.world.rpc_url, "exchange_url": exchange_url, "seed": seed}
            write_json(data.world, world)
            log.info("world.ready", **world)
            await stop.wait()
    data.world.unlink(missing_ok=True)


def exchange_config(seed: int, *, with_faults: bool = False) -> SandboxConfig:
    """A liquid exchange with one client of ours; makers pay 0.2, takers 2 basis points."""
    return SandboxConfig(
        symbols=symbol_specs(["ETHUSDC", "BTCUSDC"]),
        accounts=(
            AccountSpec(name="capstan", api_key=EXCHANGE_KEY, secret=EXCHANGE_SECRET, balances=EXCHANGE_BALANCES),
        ),
        seed=seed,
        maker_fee_bps=Decimal("0.2"),
        taker_fee_bps=Decimal("2"),
        flow=FlowConfig(volatility=0.00015, jump_rate=0.2, jump_size=0.0015, arrival_rate=16.0),
        faults=with_faults,
    )


async def _fund(devnet: Devnet, address: str, tokens: dict[str, str]) -> None:
    decimals = {symbol: entry.decimals for symbol, entry in devnet.world.tokens.items()}
    raw = {symbol: parse_units(amount, decimals[symbol]) for symbol, amount in tokens.items()}
    await devnet.fund(address, eth_wei=10_000 * 10**18, tokens=raw)


async def _trade_on_pools(devnet: Devnet, seed: int, stop: asyncio.Event) -> None:
    """Swap random amounts at random times, in either direction, until the world ends."""
    rng = random.Random(seed)
    routers = devnet_routers(devnet.world)
    usual = {pool.address for pool in devnet.world.classic_pools if pool.fee <= 3000}
    pools = [spec for spec in devnet_pools(devnet.world).values() if spec.address in usual]
    async with devnet.client() as client:
        for plan in _approvals(pools, devnet):
            await _send(client, plan)
        number = 0
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), rng.expovariate(1 / SWAP_PAUSE_S))
            except TimeoutError:
                number += 1
                pool = rng.choice(pools)
                token_in = rng.choice((pool.token0, pool.token1))
                usd = min(SWAP_USD_MEDIAN * rng.lognormvariate(0, 0.8), 80_000)
                plan = plan_swap(
                    intent_id=f"other-{number}",
                    strategy="other",
                    pool=pool,
                    routers=routers,
                    sender=OTHER_TRADER,
                    token_in=token_in.id,
                    amount_in=int(usd / PRICES_USD[token_in.symbol] * token_in.unit),
                    min_out=1,
                    deadline_s=int(time.time()) + 3600,
                )
                try:
                    await _send(client, plan)
                except PlatformError as exc:
                    log.warning("other_trader.failed", error=str(exc))


def _approvals(pools: list[PoolSpec], devnet: Devnet) -> list[TransactionPlan]:
    routers = devnet_routers(devnet.world)
    wanted = {
        (token.id, routers.for_pool(pool)): (token, pool.address_of(token.id))
        for pool in pools
        for token in (pool.token0, pool.token1)
    }
    return [
        plan_approval(
            intent_id=f"other-approve-{number}",
            strategy="other",
            chain_id=devnet.world.chain_id,
            token=token,
            token_address=address,
            sender=OTHER_TRADER,
            spender=spender,
            amount=10**15 * token.unit,
        )
        for number, ((_, spender), (token, address)) in enumerate(wanted.items())
    ]


async def _send(client: ChainClient, plan: TransactionPlan) -> None:
    """Send from an account the node itself holds; nobody waits for it to be mined."""
    request = {"from": plan.sender, "to": plan.to, "data": "0x" + plan.data.hex(), "gas": hex(plan.gas_limit)}
    await client.rpc.request("eth_sendTransaction", request)


async def _watch_lease(lease: Path, stop: asyncio.Event) -> None:
    """End the world when its lease is gone or has run out."""
    while not stop.is_set():
        try:
            if time.time() - lease.stat().st_mtime > LEASE_S:
                log.warning("world.lease_expired")
                stop.set()
        except FileNotFoundError:
            stop.set()
        try:
            await asyncio.wait_for(stop.wait(), 0.5)
        except TimeoutError:
            continue


@contextmanager
def _only_one(data: DataDir) -> Iterator[bool]:
    """Whether this is the only world of a data directory. A start that was killed may have left one on its way."""
    with (data.root / "world.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("world.another_is_here", data_dir=str(data.root))
            yield False
        else:
            yield True


def main() -> None:
    """Be the world, unless there is one."""
    configure_logging()
    data = DataDir(Path(sys.argv[1]))
    with _only_one(data) as is_alone:
        if is_alone:
            asyncio.run(run_world(data, int(sys.argv[2]), with_faults="--faults" in sys.argv[3:]))


if __name__ == "__main__":
    main()
