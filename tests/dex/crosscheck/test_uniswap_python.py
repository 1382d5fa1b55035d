"""uniswap-python in a process of its own, on the devnet's genuine contracts: an implementation nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from cli.main import main
from dex import devnet_pools, read_pools
from dex.crosscheck import Opinion, UniswapPython, check_quote, ensure_agreement, opinion_on
from dex.crosscheck.process import installed_python
from dex.pools import PoolSpec
from dex.replicas import PoolReplica
from dex.routing import Hop, Quote
from dex.routing import Path as Way
from domain import InputError, Refused, VenueUnavailable

PRICES_USD = {"WETH": 3_000, "WBTC": 60_000}


@pytest.fixture
async def second(devnet: Devnet) -> AsyncIterator[UniswapPython]:
    try:
        installed_python()
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with UniswapPython(devnet.world.rpc_url, network_like="mainnet", timeout_s=60) as client:
        yield client


async def _replicas(devnet: Devnet, client: ChainClient) -> list[tuple[PoolSpec, PoolReplica]]:
    specs = [spec for spec in devnet_pools(devnet.world).values() if spec.kind in ("v2", "v3")]
    head = await client.head()
    snapshots = await read_pools(client, specs, block_hash=head.hash, block_number=head.number, time_ns=0)
    pairs = [(spec, spec.replica()) for spec in specs]
    for (_, replica), snapshot in zip(pairs, snapshots, strict=True):
        replica.apply(snapshot)
    return pairs


def _quote(*paths: tuple[Hop, ...]) -> Quote:
    first, last = paths[0][0], paths[0][-1]
    return Quote(
        id="q",
        chain_id=first.pool.chain_id,
        block_number=1,
        block_hash="0x1",
        token_in=first.token_in,
        token_out=last.token_out,
        amount_in=sum(path[0].amount_in for path in paths),
        amount_out=sum(path[-1].amount_out for path in paths),
        is_exact_out=False,
        paths=tuple(Way(path) for path in paths),
        mid_price=Fraction(1),
        gas_units=0,
        gas_cost=0,
    )


@pytest.mark.anvil
async def test_it_agrees_with_our_quotes_to_the_unit(
    devnet: Devnet, chain_client: ChainClient, second: UniswapPython
) -> None:
    chooses = random.Random(7)
    hops = []
    for spec, replica in await _replicas(devnet, chain_client):
        for source in (spec.token0, spec.token1):
            target = spec.other(source.id)
            amount = int(10 ** chooses.uniform(2, 5) * source.unit / PRICES_USD.get(source.symbol, 1))
            ours = replica.quote_exact_in_down(source.id, amount)
            hops.append(Hop(spec, source, target, amount, ours))
            assert await second.amount_in(spec, target.id, ours) == replica.quote_exact_out_up(target.id, ours)
    opinions = [await opinion_on(second.amount_out, _quote((hop,))) for hop in hops]
    assert [(o.hop.pool.id, o.theirs) for (o,) in opinions] == [(hop.pool.id, hop.amount_out) for hop in hops]
    assert len(hops) >= 14


@pytest.mark.anvil
async def test_a_wrong_quote_is_refused(devnet: Devnet, chain_client: ChainClient, second: UniswapPython) -> None:
    spec, replica = (await _replicas(devnet, chain_client))[0]
    right = replica.quote_exact_in_down(spec.token0.id, spec.token0.unit)
    hop = Hop(spec, spec.token0, spec.token1, spec.token0.unit, right)
    assert await check_quote(second.amount_out, _quote((hop,)), bound_bps=0) == [Opinion(hop, right)]
    wrong = replace(hop, amount_out=right * 1_002 // 1_000)
    with pytest.raises(Refused, match=r"bps apart, at most 10\.00") as refusal:
        await check_quote(second.amount_out, _quote((wrong,)), bound_bps=10)
    assert refusal.value.rule == "crosscheck"
    assert await check_quote(second.amount_out, _quote((wrong,)), bound_bps=21)


@pytest.mark.anvil
async def test_what_it_cannot_answer_is_said_and_the_next_question_is_answered(
    devnet: Devnet, second: UniswapPython
) -> None:
    spec = next(s for s in devnet_pools(devnet.world).values() if s.kind == "v3")
    with pytest.raises(VenueUnavailable, match="no opinion"):
        await second.amount_out(replace(spec, fee_pips=123), spec.token0.id, 10**6)
    with pytest.raises(InputError, match="knows no v4"):
        await second.amount_out(replace(spec, kind="v4"), spec.token0.id, 10**6)
    with pytest.raises(InputError, match="must be positive"):
        await second.amount_out(spec, spec.token0.id, 0)
    assert await second.amount_out(spec, spec.token0.id, spec.token0.unit) > 0


async def test_a_process_that_says_nothing_is_ended_and_said(tmp_path: Path, v3_spec: PoolSpec) -> None:
    for body in ("sleep 60", "read line; echo nonsense", "exit 3", "read line; echo '{\"id\": 99}'"):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{body}\n")
        python.chmod(0o700)
        async with UniswapPython("http://127.0.0.1:1", timeout_s=0.3, python=python) as client:
            with pytest.raises(VenueUnavailable, match="did not answer"):
                await client.amount_out(v3_spec, v3_spec.token0.id, 1)
            assert client._process is None


async def test_nothing_of_our_environment_reaches_it(
    tmp_path: Path, v3_spec: PoolSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSTAN_SECRET_FOR_TEST", "planted")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\nread line\necho \'{{"id": 1, "amount": "5"}}\'\n')
    python.chmod(0o700)
    async with UniswapPython("http://127.0.0.1:1", timeout_s=60, python=python) as client:
        assert await client.amount_out(v3_spec, v3_spec.token0.id, 1) == 5
    assert "planted" not in (tmp_path / "seen").read_text()


async def test_an_uninstalled_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not installed"):
        installed_python(tmp_path)


async def test_pools_used_twice_and_other_kinds_are_not_asked_about(v3_spec: PoolSpec) -> None:
    async def answer(pool: PoolSpec, token_in: str, amount_in: int) -> int:
        return amount_in

    hop = Hop(v3_spec, v3_spec.token0, v3_spec.token1, 100, 100)
    v4 = replace(v3_spec, kind="v4")
    asked = await opinion_on(answer, _quote((hop,), (replace(hop, pool=v4),)))
    assert asked == []  # The same id twice, once as a kind it does not know.
    with pytest.raises(Refused, match="no second opinion") as refusal:
        ensure_agreement(asked, bound_bps=5)
    assert refusal.value.rule == "crosscheck"
    with pytest.raises(InputError, match="negative"):
        ensure_agreement([Opinion(hop, 100)], bound_bps=-1)


@pytest.mark.anvil
async def test_a_quote_on_the_command_line_is_held_against_it(
    devnet: Devnet, second: UniswapPython, capsys: pytest.CaptureFixture[str]
) -> None:
    amount = ("dex", "quote", "--rpc-url", devnet.world.rpc_url, "--token-in", "WBTC", "--token-out", "USDC")
    for bound, code in (("0", 0), ("-1", 1), ("few", 1)):
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, [*amount, "--amount-in", "5000000", "--crosscheck-bps", bound, "--json"])
        assert ended.value.code == code
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [opinion["ours"] for opinion in answer["crosscheck"]] == [o["theirs"] for o in answer["crosscheck"]] != []
