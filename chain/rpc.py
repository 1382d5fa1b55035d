"""JSON-RPC over HTTP to several nodes of one chain: bounded waits, failover, hedged reads, explicit batches.

Endpoints are tried in order, starting with the one that answered last; those that failed lately come last. A question
that got no answer moves on to the next. One that changes nothing is asked at a second node as well when the first is
slower than it nearly always is, and again elsewhere when a node's no is about the node (`chain.retries`); any other no
is final. Each endpoint proves its chain id before its first answer is believed, also one that was down at the start
and came back later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, TypeAlias

import aiohttp
import msgspec
import structlog

from chain.endpoints import Endpoint, in_order
from chain.errors import CallReverted, NodeRefused, revert_reason
from chain.hedging import SHARE, Budget, Race, delay_s
from chain.retries import changes_nothing, is_about_the_node
from domain.errors import InputError, VenueUnavailable
from domain.ids import ChainId

log = structlog.get_logger(__name__)

Json: TypeAlias = Any
Request: TypeAlias = tuple[str, Sequence[Json]]

_REVERT_CODE = 3
_LIMIT_CODE = -32005
"""EIP-1474 "limit exceeded": this node will not answer now, another may."""


class NoAnswer(VenueUnavailable):
    """One endpoint did not answer. `may_have_arrived` tells whether the request had left us.

    `pause_s` is how long the node wants to be left alone, where it said so. `is_dropped` means that the connection
    ended: an idle one may have been closed just before it was used.
    """

    def __init__(
        self, message: str, *, may_have_arrived: bool, pause_s: float | None = None, is_dropped: bool = False
    ) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
        self.pause_s = pause_s
        self.is_dropped = is_dropped


class JsonRpc:
    """The transport. Knows JSON-RPC and nothing of Ethereum but its chain id."""

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: ChainId,
        *,
        request_timeout_s: float = 10.0,
        connect_timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not urls:
            raise InputError("no node is configured", hint="Set at least one RPC URL.")
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise InputError(f"not an HTTP RPC URL: {_redacted(url)!r}")
        self.chain_id = chain_id
        self.endpoints = [Endpoint(url) for url in urls]
        self._preferred = 0
        self._clock = clock
        self._budget = Budget()
        self._request_timeout_s = request_timeout_s
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_s, sock_connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._next_id = 0

    async def open(self) -> None:
        """Connect and check the chain id of every endpoint that answers.

        Raises:
            InputError: An endpoint serves another chain.
            VenueUnavailable: No endpoint answers.
        """
        self.begin()
        try:
            found = await asyncio.gather(*(self._verify(e) for e in self.endpoints), return_exceptions=True)
            for outcome in found:
                if isinstance(outcome, BaseException) and not isinstance(outcome, NoAnswer):
                    raise outcome
            if all(isinstance(outcome, NoAnswer) for outcome in found):
                raise VenueUnavailable(
                    f"no node answers for chain {self.chain_id}: " + "; ".join(str(outcome) for outcome in found),
                    hint="Start one with `capstan chain devnet`, or correct the RPC URL.",
                )
        except BaseException:
            await self.close()
            raise

    def begin(self) -> None:
        """Be ready to ask without asking yet: each endpoint is checked when it is asked first."""
        self._session = aiohttp.ClientSession(timeout=self._timeout)

    async def close(self) -> None:
        """Close the connections; safe to repeat."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(self, method: str, *params: Json) -> Json:
        """Ask one question, at the first endpoint that answers.

        Raises:
            NodeRefused: The node answered an error.
            CallReverted: The EVM reverted.
            VenueUnavailable: No endpoint answered in time.
        """
        answer = (await self._exchange([(method, params)]))[0]
        if isinstance(answer, NodeRefused):
            raise answer
        return answer

    async def batch(self, requests: Sequence[Request]) -> list[Json | NodeRefused]:
        """Ask many questions in one round trip; answers in the order asked, a refused one as its error.

        Raises:
            VenueUnavailable: No endpoint answered.
        """
        return await self._exchange(requests) if requests else []

    async def _exchange(self, requests: Sequence[Request]) -> list[Json | NodeRefused]:
        is_read = all(changes_nothing(method) for method, _ in requests)
        order = self.in_order()
        answered, answers = await self._first(order, requests, is_read=is_read)
        if is_read:
            await self._ask_elsewhere([e for e in order if e is not answered], requests, answers)
        return answers

    async def _first(
        self, order: Sequence[Endpoint], requests: Sequence[Request], *, is_read: bool
    ) -> tuple[Endpoint, list[Json | NodeRefused]]:
        """Ask one node after another, with a hedge for reads; give the first that answers, and what it said."""
        ask = self._ask_again if is_read else self.ask
        race = Race([partial(ask, endpoint, requests) for endpoint in order], NoAnswer)
        patience = None
        if is_read and len(order) > 1:
            self._budget.earn()
            patience = delay_s(order[0].latencies.quantile(SHARE), self._request_timeout_s)
        began = self._clock()
        found = await race.run(patience, self._budget.spend)
        if found is None:
            failures = "; ".join(str(failure) for failure in race.failures)
            raise VenueUnavailable(f"no node answered for chain {self.chain_id}: {failures}")
        number, answers = found
        now = self._clock()
        for late in race.late:
            order[late].note_late(now, now - began)
            log.info("chain.hedged", slow=_redacted(order[late].url), answered=_redacted(order[number].url))
        answered = order[number]
        if self.endpoints[self._preferred] is not answered:
            log.warning("chain.failover", endpoint=_redacted(answered.url))
            self._preferred = self.endpoints.index(answered)
        return answered, answers

    async def _ask_elsewhere(
        self, others: Sequence[Endpoint], requests: Sequence[Request], answers: list[Json | NodeRefused]
    ) -> None:
        """Put other nodes' answers in place of refusals that are about the node; the first no stays if all say no."""
        for endpoint in others:
            open_ = [i for i, a in enumerate(answers) if isinstance(a, NodeRefused) and is_about_the_node(a)]
            if not open_:
                return
            try:
                second = await self._ask_again(endpoint, [requests[i] for i in open_])
            except NoAnswer:
                continue
            for place, answer in zip(open_, second, strict=True):
                if not isinstance(answer, NodeRefused) or not is_about_the_node(answer):
                    answers[place] = answer

    async def _ask_again(self, endpoint: Endpoint, requests: Sequence[Request]) -> list[Json | NodeRefused]:
        """Ask one endpoint what changes nothing, once more when an idle connection turns out to be closed."""
        try:
            return await self.ask(endpoint, requests)
        except NoAnswer as exc:
            if not exc.is_dropped:
                raise
        return await self.ask(endpoint, requests)

    def in_order(self) -> list[Endpoint]:
        """List the endpoints as they are to be tried: preferred first, those that failed lately last."""
        return in_order(self.endpoints, self._preferred, self._clock())

    async def ask(self, endpoint: Endpoint, requests: Sequence[Request]) -> list[Json | NodeRefused]:
        """Ask one endpoint, once.

        Raises:
            NoAnswer: Nothing usable came back.
            InputError: The endpoint serves another chain.
        """
        began = self._clock()
        try:
            if not endpoint.is_verified:
                await self._verify(endpoint)
                began = self._clock()
            answers = await self._post(endpoint, requests)
        except NoAnswer as exc:
            endpoint.note_failure(self._clock(), exc.pause_s)
            raise
        endpoint.note_answer(self._clock() - began)
        return answers

    async def _verify(self, endpoint: Endpoint) -> None:
        answer = (await self._post(endpoint, [("eth_chainId", ())]))[0]
        if isinstance(answer, NodeRefused):
            raise NoAnswer(f"{_redacted(endpoint.url)}: refuses eth_chainId: {answer}", may_have_arrived=False)
        try:
            found = int(answer, 16)
        except (TypeError, ValueError) as exc:
            raise NoAnswer(f"{_redacted(endpoint.url)}: not an Ethereum node", may_have_arrived=False) from exc
        if found != self.chain_id:
            raise InputError(
                f"{_redacted(endpoint.url)} serves chain {found}, expected chain {self.chain_id}",
                hint="Correct the RPC URL or the configured chain id.",
            )
        endpoint.is_verified = True

    async def _post(self, endpoint: Endpoint, requests: Sequence[Request]) -> list[Json | NodeRefused]:
        if self._session is None:
            raise VenueUnavailable("the chain client is not connected", hint="Call `connect()` first.")
        first = self._next_id
        self._next_id += len(requests)
        calls = [
            {"jsonrpc": "2.0", "id": first + i, "method": method, "params": list(params)}
            for i, (method, params) in enumerate(requests)
        ]
        # One question goes bare: some nodes answer batches from a slower path.
        body = msgspec.json.encode(calls if len(calls) > 1 else calls[0])
        where = _redacted(endpoint.url)
        try:
            async with self._session.post(
                endpoint.url, data=body, headers={"content-type": "application/json"}
            ) as response:
                status, text = response.status, await response.read()
                pause = response.headers.get("Retry-After", "")
        except aiohttp.ClientConnectorError as exc:
            raise NoAnswer(f"{where}: cannot connect ({exc.strerror or exc})", may_have_arrived=False) from exc
        except TimeoutError as exc:
            raise NoAnswer(f"{where}: no answer in {self._timeout.total} s", may_have_arrived=True) from exc
        except aiohttp.ServerDisconnectedError as exc:
            raise NoAnswer(f"{where}: {type(exc).__name__}", may_have_arrived=True, is_dropped=True) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise NoAnswer(f"{where}: {type(exc).__name__}", may_have_arrived=True) from exc
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = float(pause) if pause.isdigit() else None
            raise NoAnswer(f"{where}: too many requests", may_have_arrived=False, pause_s=seconds)
        return self._read(where, status, text, first, len(calls))

    @staticmethod
    def _read(where: str, status: int, text: bytes, first: int, count: int) -> list[Json | NodeRefused]:
        """Put answers back in the order of the questions; a batch may come back in any."""
        try:
            answers = msgspec.json.decode(text)
        except msgspec.DecodeError as exc:
            raise NoAnswer(f"{where}: HTTP {status}, not JSON", may_have_arrived=True) from exc
        if isinstance(answers, dict):
            if answers.get("id") is None and isinstance(answers.get("error"), dict):
                return [_refusal(answers["error"])] * count  # The batch was refused as a whole.
            answers = [answers]
        by_id = {a.get("id"): a for a in answers if isinstance(a, dict)} if isinstance(answers, list) else {}
        found: list[Json | NodeRefused] = []
        for expected in range(first, first + count):
            answer = by_id.get(expected)
            if answer is None or ("result" not in answer and "error" not in answer):
                raise NoAnswer(f"{where}: HTTP {status}, no JSON-RPC answer to request", may_have_arrived=True)
            error = answer.get("error")
            if error and error.get("code") == _LIMIT_CODE:
                raise NoAnswer(f"{where}: {error.get('message', 'limit exceeded')}", may_have_arrived=False)
            found.append(_refusal(error) if error else answer.get("result"))
        return found


def _refusal(error: Json) -> NodeRefused:
    code, message, data = error.get("code", 0), str(error.get("message", "")), error.get("data")
    if code == _REVERT_CODE or "revert" in message.lower():
        output = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
        reason = revert_reason(output)
        return CallReverted(f"reverted: {reason or message}", code=code, output=output, reason=reason or message)
    return NodeRefused(f"the node refused: {message} (code {code})", code=code, data=data)


def _redacted(url: str) -> str:
    """Drop what may be a provider's key: user info, path and query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0].split('?', 1)[0].rpartition('@')[2]}"
