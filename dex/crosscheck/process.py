"""The process that runs uniswap-python: started without secrets, asked one line at a time, ended with us."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import tempfile
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dex.pools import PoolSpec
from domain.errors import InputError, VenueUnavailable
from runtime.processes import die_with_parent

_PROJECT: Final = Path(__file__).with_name("uniswap_python")
_ANSWER_BYTES_MAX: Final = 64 * 1024
_VERSIONS: Final = {"v2": 2, "v3": 3}


def installed_python(project: Path = _PROJECT) -> Path:
    """Give the interpreter that has uniswap-python.

    Raises:
        InputError: It is not installed.
    """
    path = project / ".venv/bin/python"
    if not path.is_file():
        raise InputError("uniswap-python is not installed", hint="Run `make crosscheck`; it gets 60 MB of its own.")
    return path


class UniswapPython:
    """Asks uniswap-python what single pools give, at the node's latest block.

        async with UniswapPython(rpc_url) as second:
            await second.amount_out(pool, token_in, amount_in)

    It knows pools by tokens and fee and takes them from Uniswap's own factories: a pool of any other factory is
    answered as its namesake there. Use it from the event loop it was entered on; questions wait for one another.

    Args:
        rpc_url: The node. Nothing else of ours is told to the process, and no key is.
        network_like: `mainnet` where the chain is a local one with mainnet's contracts.
        timeout_s: For one answer. After it the process is ended; the next question starts another.
        python: An interpreter with uniswap-python, instead of the one that `make crosscheck` makes.
    """

    def __init__(
        self, rpc_url: str, *, network_like: str = "", timeout_s: float = 15.0, python: Path | None = None
    ) -> None:
        self._rpc_url = rpc_url
        self._network_like = network_like
        self._timeout_s = timeout_s
        self._python = python
        self._ids = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._python = self._python or installed_python()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def amount_out(self, pool: PoolSpec, token_in: str, amount_in: int) -> int:
        """What a swap of exactly `amount_in` gives, raw.

        Raises:
            InputError: A pool of a kind it does not know, or an amount that is not positive.
            VenueUnavailable: It did not answer, or answered with an error, which the message gives.
        """
        return await self._ask(pool, pool.address_of(token_in), pool.address_of(pool.other(token_in).id), amount_in)

    async def amount_in(self, pool: PoolSpec, token_out: str, amount_out: int) -> int:
        """What buys exactly `amount_out`, raw. Raises as `amount_out`."""
        source = pool.address_of(pool.other(token_out).id)
        return await self._ask(pool, source, pool.address_of(token_out), amount_out, is_exact_out=True)

    async def _ask(
        self, pool: PoolSpec, token_in: str, token_out: str, amount: int, *, is_exact_out: bool = False
    ) -> int:
        if pool.kind not in _VERSIONS:
            raise InputError(f"uniswap-python knows no {pool.kind} pools, asked about {pool.id}")
        if amount <= 0:
            raise InputError(f"pool {pool.id}: amount must be positive, found {amount}")
        request = {
            "id": next(self._ids),
            "version": _VERSIONS[pool.kind],
            "token_in": token_in,
            "token_out": token_out,
            "fee_pips": pool.fee_pips,
            "amount": str(amount),
            "is_exact_out": is_exact_out,
        }
        async with self._turn:
            answer = await self._exchange(request)
        if "error" in answer:
            raise VenueUnavailable(f"uniswap-python has no opinion on {pool.id}: {answer['error']}")
        return int(answer["amount"])

    async def _exchange(self, request: dict[str, object]) -> dict[str, str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                process = await self._running()
                if process.stdin is None or process.stdout is None:
                    raise InputError("the process was started without pipes")
                process.stdin.write(json.dumps(request).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            answer = json.loads(line) if line else None
            if not isinstance(answer, dict) or answer.get("id") != request["id"]:
                raise ValueError(f"{line[:100]!r} is no answer")
        except BaseException as exc:
            # Whatever it is about to say belongs to a question nobody asks any more.
            await self._end()
            if isinstance(exc, (OSError, ValueError, TimeoutError)):
                raise VenueUnavailable(f"uniswap-python did not answer: {exc or 'time-out'}") from exc
            raise
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                str(self._python or installed_python()),
                str(_PROJECT / "worker.py"),
                self._rpc_url,
                self._network_like,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_ANSWER_BYTES_MAX,
                # Nothing of our environment: settings and secrets may stand there.
                env={"PATH": os.defpath, "HOME": tempfile.gettempdir(), "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            # The whole group: a child of its own would hold the pipes, and waiting waits for those.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
