"""Words to records and back: every event and command means the same on both sides of the kernel's edge."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import InputError, InvariantError, OrderState, OrderType, Side, TimeInForce
from domain import events as e
from engine.edge import ClientId, Decoder, Encoder, Numbers, PoolTokens, SwapRequest, client_number, trade_number
from engine.records import COMMAND, EVENT, CommandKind, EventFlag, EventKind, Reason, ReportState
from tests.engine.markets import ETH, ETHUSDC, TOKEN_USDC, USDC, V2, V3, WETH, fill

NUMBERS = Numbers.of(
    ("arb", "mm"),
    (ETHUSDC,),
    (ETH, USDC, TOKEN_USDC, WETH),
    (PoolTokens(V2, TOKEN_USDC.id, WETH.id), PoolTokens(V3, TOKEN_USDC.id, WETH.id)),
)
ENCODER = Encoder(NUMBERS)
ID = ClientId(0xBEEF << 48 | 3 << 36 | 1 << 28 | 77)
LEVELS = st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 2**40)), max_size=20).map(tuple)


def one(event):
    """The one record of an event, and its payload."""
    data = ENCODER.records(event)
    record = np.frombuffer(data[:64], EVENT)[0]
    has_payload = record["flags"] & EventFlag.PAYLOAD
    payload = data[64 : 64 + int(record["aux"][1])] if has_payload else b""
    assert len(data) == 64 + -(-len(payload) // 64) * 64
    return record, payload


def command(kind, **fields):
    record = np.zeros(1, COMMAND)
    for name, value in {"kind": kind, **fields}.items():
        record[name] = value
    return record.tobytes()


def decode(*records, payload=None):
    return Decoder(NUMBERS, lambda number: payload if number == ID.number else None).commands(b"".join(records))


@given(LEVELS, LEVELS)
def test_a_book_is_a_snapshot_of_its_levels_and_whole_at_its_last_record(bids, asks):
    event = e.BookChanged(time_ns=5, instrument=ETHUSDC.id, bids=bids, asks=asks, update_id=9)
    records = np.frombuffer(ENCODER.records(event), EVENT)
    assert records["kind"].tolist() == [EventKind.CLEAR] + [EventKind.LEVEL] * (len(bids) + len(asks))
    assert [bool(f & EventFlag.LAST) for f in records["flags"]] == [False] * (len(records) - 1) + [True]
    assert all(records["flags"] & EventFlag.SNAPSHOT)
    levels = records[1:]
    for side, wanted in ((0, bids), (1, asks)):
        mine = levels[levels["side"] == side]
        assert tuple(zip(mine["price"].tolist(), mine["size"].tolist(), strict=True)) == wanted
    assert set(records["time_local_ns"]) == {5}


@given(st.integers(0, 2**64 - 1))
def test_a_client_id_is_its_text(number):
    assert ClientId.parse(ClientId(number).text) == ClientId(number)
    assert client_number(ClientId(number).text) == number


@pytest.mark.parametrize("text", ["", "c0123", "x0123456789abcdef", "c0123456789abcdeF", "c0123456789abcde+", "42"])
def test_what_is_no_id_of_ours_is_foreign(text):
    assert ClientId.parse(text) is None
    assert client_number(text) == 0


def test_a_client_id_has_run_epoch_and_strategy():
    assert (ID.run, ID.epoch, ID.strategy) == (0xBEEF, 3, 1)


@given(st.integers(0, 2**64 - 1))
def test_a_trade_keeps_the_number_its_venue_gave_it(number):
    assert trade_number(str(number)) == number


def test_trades_that_are_named_otherwise_are_told_apart():
    names = ["1a", "a1", "sim-c1-1", "sim-c1-2", str(2**64), "٣"]
    assert len({trade_number(name) for name in names}) == len(names)
    with pytest.raises(InvariantError):
        trade_number("")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (s, ReportState.LOST if s is OrderState.UNKNOWN else ReportState[s.name])
        for s in OrderState
        if s.name in ReportState.__members__
    ],
)
def test_a_report_says_the_state_the_reason_and_what_is_filled(state, expected):
    record, _ = one(e.OrderReported(time_ns=1, client_order_id=ID.text, state=state, reason="no", filled_lots=12))
    assert record["price"] == expected | Reason.OTHER << 16
    assert (record["size"], int(record["aux"][0]) % 2**64) == (12, ID.number)
    silent, _ = one(e.OrderReported(time_ns=1, client_order_id="someone's", state=state, asked=True))
    assert (silent["size"], silent["aux"][0], silent["price"]) == (-1, 0, expected)
    assert silent["flags"] == EventFlag.ASKED


def test_no_venue_says_denied():
    with pytest.raises(InvariantError):
        ENCODER.records(e.OrderReported(time_ns=1, client_order_id=ID.text, state=OrderState.DENIED))


def test_a_fill_says_which_asset_its_fee_is_in():
    for asset, flag in ((ETH.symbol, EventFlag.FEE_BASE), (USDC.symbol, 0), ("BNB", EventFlag.FEE_OTHER)):
        traded = msgspec.structs.replace(fill(ID.text, 5, side=Side.SELL, fee_raw=-3).fill, fee_asset=asset)
        record, _ = one(e.FillReported(time_ns=1, fill=traded))
        assert record["flags"] == flag
        assert (record["side"], record["price"], record["size"], record["aux"][1]) == (1, 300_010, 5, -3)


def test_a_fill_of_an_instrument_nobody_configured_stops_the_run():
    strange = msgspec.structs.replace(fill(ID.text, 1).fill, symbol="BTCUSDC")
    with pytest.raises(InvariantError, match="not configured"):
        ENCODER.records(e.FillReported(time_ns=1, fill=strange))


def test_amounts_beyond_64_bits_travel_as_payload():
    record, payload = one(e.BalanceReported(time_ns=1, asset=WETH.id, raw=str(-(2**100))))
    assert (record["aux"][0], int.from_bytes(payload, "little", signed=True)) == (3, -(2**100))
    assert ENCODER.records(e.BalanceReported(time_ns=1, asset="elsewhere/BNB", raw="1")) == b""
    with pytest.raises(InputError):
        ENCODER.records(e.BalanceReported(time_ns=1, asset=WETH.id, raw=str(2**127)))


def test_blocks_timers_operators_and_restarts_are_numbers():
    block, _ = one(e.BlockSeen(time_ns=1, chain_id=1337, number=7, block_hash="0x", block_time_s=8, base_fee_wei=9))
    assert (block["sequence"], *block["aux"]) == (7, 8, 9)
    timer, _ = one(e.TimerFired(time_ns=1))
    assert (timer["side"], timer["aux"][0]) == (255, 0)
    own, _ = one(e.TimerFired(time_ns=1, tag=4, strategy=1))
    assert (own["side"], own["aux"][0]) == (1, 4)
    assert [one(e.OperatorSpoke(time_ns=1, command=c))[0]["aux"][0] for c in ("kill", "stop", "resume")] == [1, 2, 3]
    with pytest.raises(InvariantError):
        ENCODER.records(e.OperatorSpoke(time_ns=1, command="sing"))
    for place, name in enumerate(("", *NUMBERS.strategies)):
        assert one(e.OperatorSpoke(time_ns=1, command="stage", stage=2, strategy=name))[0]["price"] == place
    assert one(e.EngineRestarted(time_ns=1, epoch=3))[0]["aux"][0] == 3
    begin, _ = one(e.AccountAnswered(time_ns=1, venue="sandbox", asked_ns=6))
    end, _ = one(e.AccountAnswered(time_ns=1, venue="sandbox", is_end=True))
    assert (begin["kind"], begin["aux"].tolist(), end["aux"][0]) == (EventKind.RECONCILE, [0, 6], 1)


def test_what_concerns_nothing_of_the_run_is_no_record():
    assert ENCODER.records(e.BookChanged(time_ns=1, instrument="x:Y", bids=(), asks=(), update_id=1)) == b""
    assert ENCODER.records(e.BookInvalidated(time_ns=1, instrument="x:Y", reason="gap")) == b""
    assert ENCODER.records(e.PoolSynced(time_ns=1, pool="x", block_number=1, reserve0="1", reserve1="1")) == b""


def test_a_number_that_fits_no_record_is_refused():
    huge = e.BookChanged(time_ns=1, instrument=ETHUSDC.id, bids=((2**63, 1),), asks=(), update_id=1)
    with pytest.raises(InputError):
        ENCODER.records(huge)


# --- commands


def test_an_order_is_asked_for_by_name():
    placed = command(CommandKind.PLACE, client_id=ID.number, price=3, size=4, side=1, order_type=1, strategy=1)
    assert decode(placed) == [
        e.PlaceOrder(
            client_order_id=ID.text,
            strategy="mm",
            instrument=ETHUSDC.id,
            side=Side.SELL,
            type=OrderType.LIMIT_MAKER,
            time_in_force=TimeInForce.GTC,
            price_ticks=3,
            qty_lots=4,
        )
    ]


def test_cancels_questions_stages_and_refusals_are_words():
    told = decode(
        command(CommandKind.CANCEL, client_id=ID.number),
        command(CommandKind.ASK, client_id=ID.number),
        command(CommandKind.CANCEL_ALL, stage=2),
        command(CommandKind.REJECTED, strategy=255, rule=31, aux=(5, 4)),
        command(CommandKind.STAGE, strategy=255, stage=2, rule=31),
        command(CommandKind.TIMER, strategy=1, aux=(10, 3)),
        command(CommandKind.NOTICE, rule=2, client_id=ID.number),
    )
    assert told[:2] == [
        e.CancelOrder(client_order_id=ID.text, instrument=ETHUSDC.id),
        e.AskOrder(client_order_id=ID.text, instrument=ETHUSDC.id),
    ]
    assert told[2] == e.CancelAllOrders(venue="sandbox", reason="cancel")
    assert told[3] == e.RiskRejected(strategy="unattributed", rule="drawdown", detail="5, the limit is 4")
    assert told[4] == e.StageReached(stage="cancel", rule="drawdown")
    assert told[5] == e.WakeStrategy(strategy=1, at_ns=10, tag=3)
    assert isinstance(told[6], e.AccountDiffers)
    assert told[6].finding == "foreign order"


def test_a_stage_of_one_strategy_names_it():
    assert decode(command(CommandKind.STAGE, strategy=1, stage=2, rule=30)) == [
        e.StageReached(stage="cancel", rule="executions", strategy="mm")
    ]


@pytest.mark.parametrize("is_zero_for_one", [True, False])
def test_a_swap_is_asked_for_with_what_its_payload_says(is_zero_for_one):
    request = SwapRequest(1, is_zero_for_one, 2**200, 2**255, 1_700_000_000)
    assert SwapRequest.from_bytes(request.to_bytes()) == request
    (swap,) = decode(command(CommandKind.SWAP, client_id=ID.number), payload=request.to_bytes())
    tokens = (TOKEN_USDC.id, WETH.id) if is_zero_for_one else (WETH.id, TOKEN_USDC.id)
    assert (swap.token_in, swap.token_out, swap.amount_in) == (*tokens, str(2**200))
    assert (swap.intent_id, swap.pool, swap.min_amount_out) == (ID.text, V3, str(2**255))


def test_commands_that_mean_nothing_stop_the_run():
    meaningless = (
        command(99),
        command(0),
        command(CommandKind.PLACE, side=2),
        command(CommandKind.PLACE, instrument=7),
        command(CommandKind.CANCEL_ALL, aux=(5, 0)),
        command(CommandKind.SWAP, client_id=1),
        command(CommandKind.AMEND),
        command(CommandKind.PLACE)[:-1],
    )
    for records in meaningless:
        with pytest.raises(InvariantError):
            decode(records)


@pytest.mark.parametrize(
    "event",
    [
        e.PoolSnapshotted(
            time_ns=1, pool=V3, block_number=5, kind="v4", token0=TOKEN_USDC.id, token1=WETH.id, fee_pips=500
        ),
        e.PoolSnapshotted(
            time_ns=1, pool=V3, block_number=5, kind="curve-stable", token0=TOKEN_USDC.id, token1=WETH.id, fee_pips=4
        ),
        e.PoolBalancesSynced(time_ns=1, pool=V3, block_number=5, balances=("1", "2")),
    ],
)
def test_pools_of_kinds_that_the_kernel_does_not_compute_are_refused_and_those_of_others_ignored(event) -> None:
    with pytest.raises(InputError, match="the engine's kernel knows no"):
        ENCODER.records(event)
    assert ENCODER.records(msgspec.structs.replace(event, pool="another")) == b""
