"""Pools in backtests: arbitrage that trades and settles, the same SHA-256 twice, books that balance to the unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import capstan_native as native
import numpy as np
import pytest

from dex import V3Pool
from domain import InputError
from engine.backtest.chain import chain_model, gas, pool_terms
from engine.backtest.config import load_config
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import make_strategy, run_backtest, venue
from engine.backtest.run import market as described
from engine.backtest.synthetic import synthesize
from engine.backtest.synthetic_chain import SyntheticPool, with_chain
from engine.edge.payloads import pool_payload
from engine.records import EVENT, EventFlag, EventKind
from engine.sdk import Strategy
from engine.sdk.pools import PoolTerms
from engine.sdk.run import Market, engine_config
from tests.engine.markets import TOKEN_USDC, V3, WETH, v3_at

EXAMPLE = Path(__file__).parents[3] / "examples" / "backtest" / "pool.toml"
QUIET = ('deviation_bps = "80"', 'deviation_bps = "80"\nmoves_every_blocks = 0')
"""Nobody but us trades in the pool."""


def loaded(folder, *changes):
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "run.toml").write_text(text)
    config = load_config(folder / "run.toml")
    return config, load_events(config, folder)


def finished(folder, *changes):
    config, events = loaded(folder, *changes)
    return run_backtest(config, events, folder)


DECIMALS = {"chain/USDC": 6, "chain/WETH": 18, "chain/ETH": 18}


def opening(run, asset):
    return int(run.config.capital[asset].scaleb(DECIMALS[asset]))


def moved(run, asset):
    return run.balances[asset] - opening(run, asset)


def payload_of(events, at):
    length = int(events[at]["aux"][1])
    return events[at + 1 : at + 1 + -(-length // 64)].tobytes()[:length]


def reserves(payload):
    return tuple(int.from_bytes(payload[at : at + 32], "little") for at in (1, 33))


def pool_records(events):
    """Places of what is told of pools: a payload's own records say nothing."""
    at, found = 0, []
    while at < len(events):
        if events[at]["flags"] & EventFlag.PAYLOAD:
            found.append(at)
            at += -(-int(events[at]["aux"][1]) // 64)
        at += 1
    return found


def test_arbitrage_trades_on_both_sides_and_settles(tmp_path):
    run = finished(tmp_path)
    result = result_of(run)
    mined = [swap for swap in run.settlements if swap.is_mined]
    assert result["swaps"]["mined"] == len(mined) > 20
    assert result["swaps"]["asked"] == len(run.settlements)
    assert result["swaps"]["failed"] == {}
    # One exchange order an attempt, and a few that take back what gas and slippage had left, once that is worth an
    # order (5 USDC, 17 lots at 3,000): no leg was reversed, so the strategy saw that its swaps were mined.
    sizes = {}
    for fill in run.fills:
        order = int(fill["aux"][0])
        sizes[order] = sizes.get(order, 0) + int(fill["size"])
    leftovers = [lots for lots in sizes.values() if lots < 34]
    assert len(leftovers) <= 3
    assert result["orders"]["placed"] == len(sizes) == len(mined) + len(leftovers)
    assert set(run.fills["side"].tolist()) == {0, 1}
    assert result["pnl"]["net"] == result["pnl"]["by_strategy"]["arb"]
    assert result["pnl"]["net"] == pytest.approx(
        result["pnl"]["gross"] - result["pnl"]["fees"] + result["pnl"]["swaps"], abs=1e-5
    )
    # What is held of the base, gas included, is unchanged but for less than the venue takes as an order.
    ether = (moved(run, "chain/WETH") + moved(run, "chain/ETH")) / 1e18 + (run.balances["sim/ETH"] - 50 * 10**8) / 1e8
    assert abs(ether) < 17 * 0.0001


def test_the_same_file_gives_the_same_sha_and_another_seed_another(tmp_path):
    first, again = finished(tmp_path), finished(tmp_path)
    assert first.settlements == again.settlements
    assert (first.digest, first.balances, first.pools) == (again.digest, again.balances, again.pools)
    other = finished(tmp_path, ('base_reserve = "1000"', 'base_reserve = "1000"\nseed = 8'))
    assert other.digest != first.digest


@pytest.mark.parametrize("order", ["first", "last"])
def test_what_leaves_the_pool_arrives_and_what_is_paid_is_in_it_to_the_unit(tmp_path, order):
    config, events = loaded(tmp_path, QUIET, ("[chain]", f'[chain]\norder = "{order}"'))
    [snapshot] = pool_records(events)
    run = run_backtest(config, events, tmp_path)
    assert sum(swap.is_mined for swap in run.settlements) > 0
    before = reserves(payload_of(events, snapshot))
    assert run.pools[0] != before
    assert run.pools[0][0] + run.balances["chain/USDC"] == before[0] + opening(run, "chain/USDC")
    assert run.pools[0][1] + run.balances["chain/WETH"] == before[1] + opening(run, "chain/WETH")
    assert run.pools[0][0] * run.pools[0][1] > before[0] * before[1], "fees stay in the pool"
    assert moved(run, "chain/ETH") == -sum(swap.gas_wei for swap in run.settlements) < 0


def test_balances_move_by_what_settled_where_others_trade_too(tmp_path):
    run = finished(tmp_path)
    bought = sold = 0
    for swap in run.settlements:
        # Amounts of ether have eighteen decimals, of dollars six: a trade's size tells them apart.
        taken, given = swap.amount_in, swap.amount_out
        if not swap.is_mined:
            assert (taken, given) == (0, 0)
        elif taken < given:
            bought, sold = bought - taken, sold + given
        else:
            bought, sold = bought + given, sold - taken
    assert (moved(run, "chain/USDC"), moved(run, "chain/WETH")) == (bought, sold)
    assert bought != 0 != sold


def test_chain_that_treats_us_badly_costs(tmp_path):
    plain = finished(tmp_path, QUIET)
    robbed = finished(tmp_path, QUIET, ('block_s = "2"', 'block_s = "2"\nsandwiched_ppm = 1000000'))
    assert robbed.settlements[0].amount_in == plain.settlements[0].amount_in
    assert robbed.settlements[0].amount_out < plain.settlements[0].amount_out
    late = finished(tmp_path, QUIET, ('block_s = "2"', 'block_s = "2"\nmissed_ppm = 1000000'))
    assert late.settlements[0].block_number == plain.settlements[0].block_number + 1


class Watching(Strategy):
    """Compares what it is shown with what the feed said, and trades nothing."""

    def __init__(self, pool, check):
        super().__init__("watching")
        self.pool, self.check, self.looks = pool, check, 0

    def on_block(self, ctx, event):
        self.check(ctx, ctx.pool(self.pool), event)
        self.looks += 1


def market():
    return synthesize(seconds=20, price=300_000)


ETHUSDC = Market("sandbox:ETHUSDC", "ETH", "USDC", Decimal("0.01"), Decimal("0.0001"))


def watch(strategy, events, terms, **options):
    config = engine_config((ETHUSDC,), [("s", strategy)], account="USDC", pools=(terms,))
    made = native.Backtest(config, (strategy,), [{"venue": 0}], pools=(terms,), **options)
    while made.run(events.view(np.uint8), 1_000, 7):
        pass
    return made


def test_replica_quotes_what_the_chain_would_do(tmp_path):
    config, events = loaded(tmp_path)
    terms = pool_terms(config)[0]
    told = {}
    for at in pool_records(events):
        told[int(events[at]["sequence"])] = reserves(payload_of(events, at))

    def check(ctx, pool, event):
        replica = pool.replica
        if event.kind == EventKind.BLOCK and event.sequence == 0:
            assert not replica.is_valid
            return
        if event.kind == EventKind.BLOCK:
            return
        assert replica.block_number == event.sequence
        chain = native.AmmPool.from_reserves(*told[event.sequence], 3_000)
        for amount in (1, 10**15, 10**18):
            assert replica.quote_exact_in_down("chain/WETH", amount) == chain.quote_exact_in_down(False, amount)
            assert replica.quote_exact_out_up("chain/WETH", amount) == chain.quote_exact_out_up(True, amount)

    strategy = Watching(terms.id, check)
    config = engine_config(
        (Market("sim:ETHUSDC", "ETH", "USDC", Decimal("0.01"), Decimal("0.0001")),),
        [("s", strategy)],
        account="USDC",
        pools=(terms,),
        gas=gas(config),
    )
    made = native.Backtest(config, (strategy,), [{"venue": 0}], pools=(terms,), chain={"tell_ns": 0})
    assert not made.run(events.view(np.uint8), 1_000)
    assert strategy.looks > 100


def test_v3_replica_is_the_one_of_live_runs():
    events = market()
    terms = PoolTerms(V3, TOKEN_USDC, WETH, ("USDC", "ETH"), 500, "v3")
    begin = int(events["time_local_ns"][500])
    states = [v3_at(3_000, block_number=1), v3_at(3_010, block_number=2), v3_at(2_990, block_number=3)]
    rows = []
    for number, state in enumerate(states, 1):
        payload = pool_payload(state)
        head = (begin, begin, 0, int(EventKind.POOL), 255, 1 | 4 | 8 | 32, 0, 0, number, (0, len(payload)))
        rows.append(np.array([head], EVENT).tobytes() + payload + bytes(-len(payload) % 64))
    chain = np.frombuffer(b"".join(rows), EVENT)
    feed = np.concatenate([events[:501], chain, events[501:]])
    live = V3Pool(V3, TOKEN_USDC.id, WETH.id, 500)

    def check(ctx, pool, event):
        live.apply(states[event.sequence - 1])
        replica = pool.replica
        assert replica.difference(states[event.sequence - 1]) == ""
        assert list(replica.pieces(WETH.id)) == list(live.pieces(WETH.id))
        for amount in (1, 10**12, 10**17, 10**18):
            assert replica.quote_exact_in_down(WETH.id, amount) == live.quote_exact_in_down(WETH.id, amount)
            assert replica.quote_exact_out_up(WETH.id, amount) == live.quote_exact_out_up(WETH.id, amount)

    strategy = Watching(V3, check)
    watch(strategy, feed, terms)
    assert strategy.looks == 3


def test_pools_that_are_not_there_and_swaps_that_cannot_be_are_named(tmp_path):
    config, events = loaded(tmp_path)
    terms = pool_terms(config)[0]
    seen = []

    def check(ctx, pool, event):
        if event.kind != EventKind.BLOCK or event.sequence != 1:
            return
        with pytest.raises(KeyError, match="no pool other in this run"):
            ctx.pool("other")
        with pytest.raises(KeyError, match="no pool other in this run"):
            ctx.swap("other", "chain/WETH", 1, 1, 1)
        with pytest.raises(InputError, match="sim/ETH is none of pool weth-usdc's tokens"):
            ctx.swap(terms.id, "sim/ETH", 1, 1, 1)
        with pytest.raises(OverflowError):
            ctx.swap(terms.id, "chain/WETH", 1 << 127, 1, 1)
        seen.append(ctx)

    watch(Watching(terms.id, check), events, terms)
    with pytest.raises(RuntimeError, match="inside the strategy's callbacks"):
        seen[0].pool(terms.id)


def test_backtest_in_steps_and_its_journal_say_the_same(tmp_path):
    config, events = loaded(tmp_path)
    whole = run_backtest(config, events, tmp_path)

    def made():
        strategies = tuple(make_strategy(item, config, tmp_path) for item in config.strategies)
        settings = engine_config(
            [described(name, terms) for name, terms in config.instruments.items()],
            [(item.id, made) for item, made in zip(config.strategies, strategies, strict=True)],
            account=config.account,
            seed=config.simulator.seed,
            risk=config.risk,
            pools=pool_terms(config),
            gas=gas(config),
        )
        return settings, strategies

    settings, strategies = made()
    assets = {asset["id"]: at for at, asset in enumerate(settings["assets"])}
    capital = [
        (assets[place], int(amount.scaleb(settings["assets"][assets[place]]["decimals"])))
        for place, amount in config.capital.items()
    ]
    journal = (str(tmp_path / "run.journal"), bytes(range(32)))
    steps = native.Backtest(
        settings,
        strategies,
        [venue(config.simulator, 0)],
        capital=capital,
        tick_ns=config.tick_ms * 1_000_000,
        settle_ns=config.simulator.settle_s * 1_000_000_000,
        pools=pool_terms(config),
        chain=chain_model(config),
        journal=journal,
    )
    while steps.run(events.view(np.uint8), 1_000, 1):
        pass
    assert steps.digest() == whole.digest
    settings, strategies = made()
    replayed = native.replay_backtest(settings, strategies, events.view(np.uint8), journal, pools=pool_terms(config))
    assert replayed == whole.digest


def test_chain_settings_that_mean_nothing_are_refused(tmp_path):
    config, _ = loaded(tmp_path)
    terms = pool_terms(config)
    strategy = Watching("weth-usdc", None)
    settings = engine_config((ETHUSDC,), [("s", strategy)], account="USDC", pools=terms)
    for chain, message in (
        ({"order": "middle"}, "first or last"),
        ({"gas": 1}, "unknown setting"),
        ({"missed_ppm": 1_000_001}, "at most 1000000"),
        ({"tell_ns": -1}, "not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            native.Backtest(settings, (strategy,), [{"venue": 0}], pools=terms, chain=chain)
    with pytest.raises(ValueError, match="as many pools"):
        native.Backtest(settings, (strategy,), [{"venue": 0}], pools=terms * 2)
    with pytest.raises(InputError, match="no instrument prices BTC"):
        engine_config(
            (ETHUSDC,), [("s", strategy)], account="USDC",
            pools=(PoolTerms("p", TOKEN_USDC, WETH, ("USDC", "BTC")),),
        )  # fmt: skip


def test_feed_keeps_payloads_whole_and_the_markets_ends():
    events = market()
    pool = SyntheticPool(
        pool=0,
        instrument=0,
        is_base_token0=False,
        tick_quote_per_base=Fraction(1, 10**14),
        base_reserve=10**21,
        deviation_ppm=5_000,
    )
    feed = with_chain(events, [pool], block_ns=10**9, tell_ns=10**8, base_fee_wei=7)
    again = with_chain(events, [pool], block_ns=10**9, tell_ns=10**8, base_fee_wei=7)
    assert feed.tobytes() == again.tobytes()
    assert feed[0] == events[0]
    assert feed[-1] == events[-1]
    trades = events[events["kind"] == EventKind.TRADE]
    found = pool_records(feed)
    blocks = feed[feed["kind"] == EventKind.BLOCK]
    assert len(found) == len(blocks) >= 18
    for at in found:
        usdc, weth = reserves(payload_of(feed, at))
        before = trades[trades["time_exchange_ns"] <= feed[at]["time_exchange_ns"]]
        price = int(before["price"][-1]) if len(before) else 300_000
        assert usdc / weth * 1e14 / price == pytest.approx(1, abs=0.0051)


def test_pool_beside_a_market_that_does_not_trade_is_refused():
    events = market()
    pool = SyntheticPool(0, 0, True, Fraction(1, 10**14), 10**21, 5_000)
    with pytest.raises(InputError, match="has no trades"):
        with_chain(events[events["kind"] != EventKind.TRADE], [pool], block_ns=10**9, tell_ns=0, base_fee_wei=7)
    with pytest.raises(InputError, match="a market that lasts"):
        with_chain(events[:1], [pool], block_ns=10**9, tell_ns=0, base_fee_wei=7)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('pools = ["weth-usdc"]', 'pools = ["weth"]', "strategies.0: no pool weth"),
        ('pool = "weth-usdc"', 'pool = "weth"', "data.1: no pool weth"),
        ('form = "ETH"', 'form = "BTC"', "data.1: pool weth-usdc trades USDC and BTC, sim:ETHUSDC ETH and USDC"),
        ("[chain]", '[chain]\nname = "sim"', "chain.name: sim is a venue"),
        ("[chain]", '[chain]\ncoin = "BNB"', "counts gas in ETH, not in BNB"),
        ("[chain]", "[chain]\nblock_ms = 5", "chain: unknown key 'block_ms'"),
        ("tick_size", 'contract = "linear"\ntick_size', "is no spot market, but linear"),
        ('"chain/WETH" = "50"', '"chain/WBTC" = "50"', "capital.chain/WBTC: no such holding"),
        ("fee_pips = 3000", "fee_pips = 1000000", "less than 1000000"),
        (
            '[[data]]\nkind = "synthetic-pool"\ninstrument = "sim:ETHUSDC"\npool = "weth-usdc"\n'
            'base_reserve = "1000"\ndeviation_bps = "80"\n',
            "",
            "pools: 0 data tell of weth-usdc, expected one",
        ),
    ],
)
def test_mistakes_about_pools_are_one_line(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        loaded(tmp_path, (old, new))


def test_chain_without_pools_is_a_mistake(tmp_path):
    text = EXAMPLE.read_text()
    begin, end = text.index("[[pools]]"), text.index("[chain]")
    (tmp_path / "run.toml").write_text(text[:begin] + text[end:])
    with pytest.raises(InputError, match="chain: there are no pools on it"):
        load_config(tmp_path / "run.toml")


def test_market_making_hedges_its_inventory_in_the_pool(tmp_path):
    text = EXAMPLE.read_text()
    old = text[text.index("[[strategies]]") : text.index("[simulator]")]
    maker = """[[strategies]]
kind = "avellaneda-stoikov"
instrument = "sim:ETHUSDC"
hedge_pools = ["weth-usdc"]
order_qty = "0.5"
inventory_max = "2"
hedge_above = "1"
risk_aversion = "0.01"
arrival_decay = "200"
horizon_s = "0.1"
volatility_floor = "0.01"
spread_min_bps = "0.001"
requote_bps = "0.01"
hedge_cost_max_bps = "200"
hedge_slippage_bps = "200"

"""
    run = finished(tmp_path, (old, maker))
    hedges = [swap for swap in run.settlements if swap.is_mined]
    assert hedges
    # What was bought at the exchange was sold in the pool, and the other way: less is left than was hedged.
    traded = np.where(run.fills["side"] == 0, 1, -1) @ run.fills["size"] * 0.0001
    assert abs(traded + moved(run, "chain/WETH") / 1e18) <= 2.5
    with pytest.raises(InputError, match="no pool elsewhere"):
        finished(tmp_path, (old, maker.replace("weth-usdc", "elsewhere")))
