"""Slow nodes, second questions and second opinions: decided by values, and against real servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from chain import Call, CallReverted, ChainClient, NodeRefused
from chain.codec import function
from chain.devnet import Devnet
from chain.endpoints import Endpoint, Latencies, in_order
from chain.hedging import DELAY_DEFAULT_S, Budget, Race, delay_s
from chain.retries import changes_nothing, is_about_the_node
from chain.rpc import JsonRpc, NoAnswer
from chain.simulation import trace_call
from domain import VenueUnavailable
from domain.ids import ChainId
from tests.chain.proxy import Mode, Proxy

# --- health


def test_the_tail_is_known_after_a_few_answers_and_follows_the_last_ones() -> None:
    latencies = Latencies()
    for _ in range(7):
        latencies.add(0.01)
    assert latencies.quantile(0.95) is None
    latencies.add(0.01)
    assert latencies.quantile(0.95) == 0.01
    for _ in range(64):
        latencies.add(0.2)
    assert latencies.quantile(0.5) == latencies.quantile(0.95) == 0.2


def test_a_second_question_waits_for_the_measured_tail_within_bounds() -> None:
    assert delay_s(None, 10) == DELAY_DEFAULT_S
    assert delay_s(0.12, 10) == 0.12
    assert delay_s(0.0001, 10) == 0.005
    assert delay_s(9.0, 10) == 5.0


def test_nodes_that_failed_rest_longer_each_time_and_are_asked_last() -> None:
    first, second, third = (Endpoint(f"http://{name}") for name in "abc")
    nodes = [first, second, third]
    assert in_order(nodes, 1, now=0) == [second, third, first]
    second.note_failure(0)
    assert second.rests_until == 0.5
    assert in_order(nodes, 1, now=0.4) == [third, first, second]
    assert in_order(nodes, 1, now=0.5) == [second, third, first]
    second.note_failure(1)
    second.note_failure(1)
    assert second.rests_until == 1 + 2
    for _ in range(20):
        second.note_failure(1)
    assert second.rests_until == 1 + 30
    second.note_answer(0.1)
    assert (second.failures, second.rests_until) == (0, 0)
    third.note_failure(0, pause_s=7)
    assert third.rests_until == 7


def test_a_node_that_has_become_much_slower_than_another_is_passed_by() -> None:
    slow, fast = Endpoint("http://slow"), Endpoint("http://fast")
    for _ in range(8):
        slow.note_answer(0.03)
        fast.note_answer(0.02)
    assert in_order([slow, fast], 0, now=0)[0] is slow
    for _ in range(64):
        slow.note_answer(0.05)
    assert in_order([slow, fast], 0, now=0) == [fast, slow]
    fast.note_failure(0)
    assert in_order([slow, fast], 0, now=0) == [slow, fast]


def test_only_a_tenth_of_the_questions_is_doubled() -> None:
    budget = Budget()
    while budget.spend():
        pass
    doubled = 0
    for _ in range(1_000):
        budget.earn()
        doubled += budget.spend()
    assert 98 <= doubled <= 100


# --- what may be asked again


@pytest.mark.parametrize(
    ("method", "may"),
    [
        ("eth_call", True),
        ("eth_getLogs", True),
        ("eth_feeHistory", True),
        ("debug_traceCall", True),
        ("eth_sendRawTransaction", False),
        ("eth_sendTransaction", False),
        ("eth_getFilterChanges", False),
        ("eth_newFilter", False),
        ("anvil_mine", False),
        ("evm_snapshot", False),
        ("eth_sendBundle", False),
    ],
)
def test_only_what_changes_nothing_may_be_asked_twice(method: str, may: bool) -> None:
    assert changes_nothing(method) is may


@pytest.mark.parametrize(
    ("refusal", "elsewhere"),
    [
        (NodeRefused("the node refused: header not found", code=-32000), True),
        (NodeRefused("the node refused: missing trie node 12", code=-32000), True),
        (NodeRefused("no such method", code=-32601), True),
        (NodeRefused("internal error", code=-32603), True),
        (NodeRefused("invalid params", code=-32602), False),
        (NodeRefused("nonce too low", code=-32000), False),
        (CallReverted("reverted: header not found", code=3, output=b"", reason="header not found"), False),
    ],
)
def test_a_no_about_the_node_is_worth_a_second_opinion(refusal: NodeRefused, elsewhere: bool) -> None:
    assert is_about_the_node(refusal) is elsewhere


# --- the race itself, with attempts that end when told


class Attempt:
    """An attempt that ends when the test says so."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    async def __call__(self) -> str:
        self.began.set()
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def _silent() -> NoAnswer:
    return NoAnswer("silent", may_have_arrived=True)


def _racing(
    attempts: list[Attempt], patience_s: float | None, may_double: Callable[[], bool] = lambda: True
) -> tuple[Race[str], Awaitable[tuple[int, str] | None]]:
    race: Race[str] = Race(attempts, NoAnswer)
    return race, asyncio.create_task(race.run(patience_s, may_double))


async def test_a_silent_node_is_overtaken_and_its_question_dropped() -> None:
    first, second, third = attempts = [Attempt() for _ in range(3)]
    race, running = _racing(attempts, 0)
    await second.began.wait()
    second.outcome.set_result("second")
    assert await running == (1, "second")
    assert race.late == [0]
    assert first.was_cancelled
    assert not third.began.is_set()


async def test_the_first_may_still_win_after_a_second_was_asked() -> None:
    first, second = attempts = [Attempt(), Attempt()]
    race, running = _racing(attempts, 0)
    await second.began.wait()
    first.outcome.set_result("first")
    assert await running == (0, "first")
    assert race.late == []
    assert second.was_cancelled


async def test_a_failure_begins_the_next_attempt_at_once_and_all_failures_are_told() -> None:
    first, second = attempts = [Attempt(), Attempt()]
    race, running = _racing(attempts, None)
    await first.began.wait()
    assert not second.began.is_set()
    first.outcome.set_exception(_silent())
    await second.began.wait()
    second.outcome.set_exception(_silent())
    assert await running is None
    assert len(race.failures) == 2


async def test_without_a_budget_nothing_is_doubled() -> None:
    first, second = attempts = [Attempt(), Attempt()]
    asked = asyncio.Event()

    def refuse() -> bool:
        asked.set()
        return False

    _, running = _racing(attempts, 0, refuse)
    await first.began.wait()
    await asked.wait()
    first.outcome.set_result("first")
    assert await running == (0, "first")
    assert not second.began.is_set()


async def test_an_error_of_another_kind_ends_the_race() -> None:
    first, second = attempts = [Attempt(), Attempt()]
    _, running = _racing(attempts, 0)
    await second.began.wait()
    second.outcome.set_exception(ValueError("our bug"))
    with pytest.raises(ValueError, match="our bug"):
        await running
    assert first.was_cancelled


# --- against servers


@pytest.fixture
async def proxy(devnet: Devnet) -> AsyncIterator[Proxy]:
    async with Proxy(devnet.world.rpc_url).serving() as proxy:
        yield proxy


@pytest.mark.anvil
async def test_a_read_is_answered_although_the_first_node_never_does(devnet: Devnet, proxy: Proxy) -> None:
    # Waiting for the first node would take a minute and fail this test.
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337, request_timeout_s=600) as client:
        for _ in range(10):
            await client.head()
        proxy.mode = Mode.HANG
        assert (await client.head()).number == (await client.head()).number
        slow = client.rpc.endpoints[0]
        assert slow.hedged == 1
        assert client.rpc.in_order()[0] is client.rpc.endpoints[1]


@pytest.mark.anvil
async def test_a_transaction_is_never_asked_twice(devnet: Devnet, proxy: Proxy) -> None:
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337) as client:
        proxy.mode = Mode.DROP
        with pytest.raises(NoAnswer):
            await client.rpc.ask(client.rpc.endpoints[0], [("eth_sendRawTransaction", ("0x00",))])
        assert proxy.calls.count("eth_sendRawTransaction") == 1


@pytest.mark.anvil
async def test_a_read_survives_an_idle_connection_that_was_closed(devnet: Devnet, proxy: Proxy) -> None:
    async with ChainClient([proxy.url], 1337) as client:
        proxy.mode = Mode.DROP_ONCE
        assert (await client.head()).number >= 0
        assert proxy.calls.count("eth_getBlockByNumber") == 2
        proxy.mode = Mode.DROP
        with pytest.raises(VenueUnavailable):
            await client.head()


@pytest.mark.anvil
async def test_a_block_one_node_has_not_seen_is_asked_of_another(devnet: Devnet, proxy: Proxy) -> None:
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337) as client:
        proxy.mode = Mode.LAGGING
        assert await client.balance("0x" + "01" * 20) == 0
        answers = await client.batch([("eth_blockNumber", ()), ("eth_gasPrice", ())])
        assert not any(isinstance(answer, NodeRefused) for answer in answers)
    async with ChainClient([proxy.url], 1337) as alone:
        with pytest.raises(NodeRefused, match="header not found"):
            await alone.balance("0x" + "01" * 20)


@pytest.mark.anvil
async def test_a_method_one_node_does_not_serve_is_asked_of_another(devnet: Devnet, proxy: Proxy) -> None:
    usdc = devnet.world.tokens["USDC"].address
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337) as client:
        proxy.mode = Mode.PARTLY
        data = function("totalSupply()").encode()
        assert (await trace_call(client, Call("0x" + "01" * 20, usdc, data))).failure is None
        with pytest.raises(NodeRefused):
            await client.rpc.request("no_such_method")


@pytest.mark.anvil
async def test_a_throttled_node_rests_for_as_long_as_it_asks(devnet: Devnet, proxy: Proxy) -> None:
    now = 100.0
    rpc = JsonRpc([proxy.url, devnet.world.rpc_url], ChainId(1337), clock=lambda: now)
    await rpc.open()
    try:
        proxy.mode = Mode.THROTTLED
        await rpc.request("eth_blockNumber")
        throttled = rpc.endpoints[0]
        assert throttled.rests_until == 107.0
        now = 106.0
        assert rpc.in_order()[-1] is throttled
    finally:
        await rpc.close()
