"""degenbot's side: its pools read from a node, its quotes, and its optimum of a cycle of pools.

Its pools are given their whole liquidity map, which is faster than the sparse map it fetches by itself; the cache of
swap steps that it keeps between quotes stays warm. Settings and database go to a folder that is removed at the end.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

_HOME = tempfile.TemporaryDirectory(prefix="capstan-degenbot-")
os.environ["HOME"] = _HOME.name  # Read at import, where it opens the database that is made here.
(Path(_HOME.name) / ".config/degenbot").mkdir(parents=True)
with closing(sqlite3.connect(Path(_HOME.name) / ".config/degenbot/degenbot.db")) as _database:
    _database.execute("PRAGMA journal_mode=WAL")

import degenbot  # noqa: E402
from degenbot.database import db_session  # noqa: E402
from degenbot.database.models import Base  # noqa: E402
from degenbot.exceptions import DegenbotError  # noqa: E402
from degenbot.uniswap.v3_types import UniswapV3BitmapAtWord, UniswapV3LiquidityAtTick  # noqa: E402
from web3 import HTTPProvider, Web3  # noqa: E402

from bench.peers.child import Feed, Stopwatch, serve  # noqa: E402

Base.metadata.create_all(bind=db_session.connection())  # Its session keeps the file locked: nobody else can.
_POOLS: dict[str, Any] = {}


def _open(feed: Feed | None, request: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Read pools: `v2` addresses, `v3` as (address, tick spacing, [(tick, net, gross)]). Again: read anew."""
    watch.start()
    web3 = Web3(HTTPProvider(request["url"]))
    if not _POOLS:
        degenbot.set_web3(web3)
    block = web3.eth.block_number
    chain_id = web3.eth.chain_id
    for address in [*request.get("v2", []), *(pool[0] for pool in request.get("v3", []))]:
        if _POOLS.pop(address, None) is not None:
            degenbot.pool_registry.remove(pool_address=address, chain_id=chain_id)
    for address in request.get("v2", []):
        _POOLS[address] = degenbot.UniswapV2Pool(address, silent=True)
    for address, spacing, ticks in request.get("v3", []):
        words: dict[int, int] = {}
        for tick, _, _ in ticks:
            word, bit = divmod(tick // spacing, 256)
            words[word] = words.get(word, 0) | 1 << bit
        _POOLS[address] = degenbot.UniswapV3Pool(
            address,
            tick_bitmap={word: UniswapV3BitmapAtWord(bitmap=bits, block=block) for word, bits in words.items()},
            tick_data={
                tick: UniswapV3LiquidityAtTick(liquidity_net=int(net), liquidity_gross=int(gross), block=block)
                for tick, net, gross in ticks
            },
            silent=True,
        )
    watch.stop()
    return {"pools": len(_POOLS), "version": degenbot.__version__}


def _quotes(feed: Feed | None, request: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Quote (token in, amount) each on one pool; amounts are text, and so are the answers."""
    pool = _POOLS[request["pool"]]
    tokens = {token.address: token for token in (pool.token0, pool.token1)}
    asked = [(tokens[token], int(amount)) for token, amount in request["requests"]]
    quote = pool.calculate_tokens_out_from_tokens_in
    watch.start()
    answers = [quote(token, amount) for token, amount in asked]
    watch.stop()
    return {"answers": [str(answer) for answer in answers]}


def _cycle(feed: Feed | None, request: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """Find the input of a cycle of pools that earns most, `repeats` times; a cycle that earns nothing has no input."""
    pools = [_POOLS[address] for address in request["pools"]]
    token = next(t for t in (pools[0].token0, pools[0].token1) if t.address == request["token"])
    cycle = degenbot.UniswapLpCycle(token, pools, id="cycle", max_input=int(request["max_input"]))
    found, refused = None, ""
    watch.start()
    for _ in range(request.get("repeats", 1)):
        try:
            found = cycle.calculate()
        except (DegenbotError, AssertionError) as error:
            refused = type(error).__name__
    watch.stop()
    if found is None:
        return {"amount_in": "0", "profit": "0", "refused": refused}
    return {"amount_in": str(found.input_amount), "profit": str(found.profit_amount), "refused": ""}


if __name__ == "__main__":
    serve({"degenbot": degenbot.__version__}, {"open": _open, "quotes": _quotes, "cycle": _cycle})
