"""`capstan chain`: a local chain with the genuine contracts, and the chains known as data."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cli import output
from cli.chain_networks import networks
from domain import InputError, VenueUnavailable

if TYPE_CHECKING:
    from chain.devnet import Devnet, DevnetConfig, DevnetWorld, SavedDevnet

app = typer.Typer(no_args_is_help=True, help="Chains: a local one with the genuine contracts, and those known as data.")
app.command("networks")(networks)


@app.command()
def devnet(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8545,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    chain_id: Annotated[int, typer.Option(help="1 for tools that hard-code mainnet.")] = 1337,
    block_time: Annotated[int, typer.Option(min=0, help="Seconds per block; 0 mines every transaction at once.")] = 0,
    addresses: Annotated[
        Path | None, typer.Option("--addresses", "--state-file", help="Write the addresses there, as JSON.")
    ] = None,
    eth_price: Annotated[int, typer.Option(min=1, help="Starting price of WETH in USDC.")] = 3_000,
    btc_price: Annotated[int, typer.Option(min=1, help="Starting price of WBTC in USDC.")] = 60_000,
    load: Annotated[Path | None, typer.Option(help="Go on from a dump instead of building the world.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Write the whole chain there when ended.")] = None,
    noise_seed: Annotated[int | None, typer.Option(help="Other people trade on all pools, as this seed says.")] = None,
    noise_per_second: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="How many trades a second on average; 1 if only seeded.")
    ] = None,
    relay: Annotated[
        bool, typer.Option("--relay", help="Also run a relay for bundles and private transactions.")
    ] = False,
    relay_port: Annotated[int, typer.Option(min=0, max=65535, help="The relay's; 0 takes a free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run anvil with tokens and genuine DeFi contracts at mainnet's addresses until SIGTERM or SIGINT.

    Its accounts come from the public test mnemonic: use them here and nowhere else.
    """
    from chain.devnet import DevnetConfig, Market, SavedDevnet
    from runtime import configure_logging

    configure_logging(level="WARNING", json=False)
    config = DevnetConfig(
        port=port,
        host=host,
        chain_id=chain_id,
        block_time_s=block_time,
        market=Market(prices_usd={"WETH": eth_price, "WBTC": btc_price}),
        order="fifo" if relay else "fees",
    )
    saved = SavedDevnet.read(load) if load is not None else None
    noise = None
    if noise_seed is not None or noise_per_second is not None:
        noise = (noise_seed or 0, noise_per_second or 1.0)
    asyncio.run(_serve(config, _Wishes(addresses, saved, dump, noise, relay_port if relay else None, as_json)))


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What a devnet does besides being there: `noise` is (seed, trades per second), `relay_port` None for no relay."""

    addresses: Path | None
    saved: SavedDevnet | None
    dump: Path | None
    noise: tuple[int, float] | None
    relay_port: int | None
    as_json: bool


async def _serve(config: DevnetConfig, wishes: _Wishes) -> None:
    from chain.devnet import Devnet

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait(), name="devnet.stop")
    starting = asyncio.create_task(Devnet.start(config, wishes.saved), name="devnet.start")
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # Told to stop while starting.
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    async with (
        await starting as running,
        _traders_of(running, wishes.noise) as trade,
        _relay_of(running, wishes.relay_port) as relay_url,
    ):
        running.world = msgspec.structs.replace(running.world, relay_url=relay_url)
        noise = asyncio.ensure_future(trade(stop))
        if wishes.addresses is not None:
            _write(wishes.addresses, running.world)
        if wishes.as_json:
            output.emit(running.world)
        else:
            _describe(running)
        ended = asyncio.create_task(running.wait(), name="devnet.node")
        await asyncio.wait({ended, noise, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            if not ended.done():
                ended.cancel()
                await noise  # It failed.
            raise VenueUnavailable(f"anvil ended by itself with status {ended.result()}")
        await noise
        ended.cancel()
        if wishes.dump is not None:
            (await running.dump()).write(wishes.dump)


@contextlib.asynccontextmanager
async def _relay_of(running: Devnet, port: int | None) -> AsyncIterator[str]:
    """Serve a relay if one is wished for; give its URL."""
    from chain.devnet.relay import Relay, RelayServer

    if port is None:
        yield ""
        return
    async with running.client() as client:
        relay = Relay(client, running.config.block_time_s)
        async with RelayServer(relay, running.config.host, port).serving() as server:
            yield server.url


@contextlib.asynccontextmanager
async def _traders_of(
    running: Devnet, noise: tuple[int, float] | None
) -> AsyncIterator[Callable[[asyncio.Event], Awaitable[None]]]:
    """Get other people ready to trade if wished for; give what lets them, until told to stop."""
    from chain.devnet import NoiseTrader

    async def wait(stop: asyncio.Event) -> None:
        await stop.wait()

    if noise is None:
        yield wait
        return
    seed, per_second = noise
    async with running.client() as client:
        trader = NoiseTrader(client, running.world, seed, running.config.market.prices_usd)
        await trader.prepare()
        yield lambda stop: trader.run(per_second, stop)


def _write(path: Path, world: DevnetWorld) -> None:
    """Replace the file in one step, so that nobody reads half of it."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(world.to_json())
        partial.replace(path)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc


def _describe(running: Devnet) -> None:
    from chain.devnet import NATIVE_COIN

    world = running.world
    typer.echo(
        f"devnet on {world.rpc_url}, chain id {world.chain_id}, genesis {world.genesis_hash}, "
        f"ready in {running.ready_s:.1f} s"
    )
    if world.relay_url:
        typer.echo(f"  relay for bundles and private transactions on {world.relay_url}")
    symbols = {NATIVE_COIN: "ETH"} | {token.address: symbol for symbol, token in world.tokens.items()}
    for name, address in world.contracts.items():
        typer.echo(f"  {name:<28} {address}")
    for pool in world.pools:
        tokens = "/".join(symbols[token] for token in (pool.token0, pool.token1, *pool.more_tokens))
        fee = "  hook" if pool.hooks != NATIVE_COIN else f"{pool.fee / 10_000:.2f} %"
        typer.echo(f"  pool {pool.kind:<17} {tokens:<14} {fee:>6}  {pool.pool_id or pool.address}")
    typer.echo(f"  TEST ONLY accounts of the public mnemonic: {', '.join(world.test_accounts[:3])}, …")
