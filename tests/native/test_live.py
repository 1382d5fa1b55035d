"""The live path from Python: the same strategy in Python and native sends the same bytes, and the journal replays."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from typing import Any

import capstan_native as native
import numpy as np
import pytest

from engine.records import COMMAND, EVENT, CommandKind, EventKind, ReportState
from engine.sdk import BookView, Context, Strategy
from engine.sdk.run import Market, engine_config
from engine.strategies.quoting import Quoting

SECOND = 10**9
NOW = 1_790_000_000 * SECOND
BTC = Market("v:BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))
PARAMETERS = {"instrument": 0, "size": 100, "behind": 1, "position_max": 1_000, "interval_ns": 0}


def live(strategy: Any, *, switch: native.FreezeSwitch | None = None) -> native.LivePath:
    signer = native.OrderSigner.binance(
        "v",
        native.HotKey("hmac", "a shared secret"),
        [(0, "BTCUSDT", 1, 2, 1, 5)],
        door="websocket",
        api_key="key",
        switch=switch or native.FreezeSwitch(),
    )
    config = engine_config([BTC], [("q", strategy)], account="USDT")
    return native.LivePath(config, [strategy], [("BTCUSDT", 0, "0.01", "0.00001")], [(0, signer)])


def python_quoting() -> Quoting:
    return Quoting("q", size=100, position_max=1_000, behind=1, interval_ms=0)


def snapshot() -> bytes:
    return json.dumps({"lastUpdateId": 10, "bids": [["100.00", "1"]], "asks": [["100.02", "1"]]}).encode()


def diff(update: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    data = {"e": "depthUpdate", "E": NOW // 10**6, "s": "BTCUSDT", "U": update, "u": update, "b": bids, "a": asks}
    return json.dumps({"stream": "btcusdt@depth", "data": data}).encode()


def answers(path: native.LivePath, now_ns: int) -> list[bytes]:
    """What a venue would say of the last input's commands."""
    reports = []
    for command in np.frombuffer(path.commands, COMMAND):
        state = {CommandKind.PLACE: ReportState.ACCEPTED, CommandKind.CANCEL: ReportState.CANCELED}.get(command["kind"])
        if state is not None:
            client_id = int(command["client_id"])
            signed = client_id - (1 << 64) if client_id >> 63 else client_id
            price = int(state) | int(command["kind"]) << 8
            reports.append(
                struct.pack("<qqIBBHqqQqq", now_ns, now_ns, 0, EventKind.REPORT, 255, 1, price, -1, 0, signed, 0)
            )
    return reports


def session(path: native.LivePath) -> list[bytes]:
    """Walk the touch up and down; give every frame."""
    sent = []
    _, frames = path.on_message(snapshot(), NOW, 0)
    sent += [frame for _, frame in frames]
    for step in range(60):
        now = NOW + step * SECOND // 10
        for report in answers(path, now):
            sent += [frame for _, frame in path.on_event(report)]
        ask = 3 + step % 7
        changes = [[f"100.{ask:02}", "2"], *([f"100.{gone:02}", "0"] for gone in range(2, 10) if gone != ask)]
        outcome, frames = path.on_message(diff(11 + step, [], changes), now + 1)
        assert outcome == "events"
        sent += [frame for _, frame in frames]
    return sent


def test_a_strategy_in_python_and_its_native_twin_send_the_same_bytes() -> None:
    ours, theirs = live(python_quoting()), live(("quoting", PARAMETERS))
    frames = session(ours)
    assert frames == session(theirs)
    methods = [json.loads(frame)["method"] for frame in frames]
    assert set(methods) == {"order.place", "order.cancel"}
    assert len(methods) > 60
    # Python's strategy subscribes otherwise, so the digests of what the kernel knows need not agree; the journals do.
    assert ours.take_journal() == theirs.take_journal()
    assert ours.take_journal() == b""


def test_a_replay_of_the_journal_commands_what_was_sent() -> None:
    path = live(("quoting", PARAMETERS))
    sent = {json.loads(frame)["params"]["newClientOrderId"] for frame in session(path) if b"order.place" in frame}
    journal = np.frombuffer(path.take_journal(), EVENT)
    again = live(("quoting", PARAMETERS))
    placed = set()
    for record in journal:
        again.on_event(record.tobytes())
        for command in np.frombuffer(again.commands, COMMAND):
            if command["kind"] == CommandKind.PLACE:
                placed.add(f"c{int(command['client_id']):016x}")
    assert placed == sent
    assert again.digest() == path.digest()


def test_a_frozen_signer_sends_nothing_and_the_kernel_knows() -> None:
    switch = native.FreezeSwitch()
    path = live(("quoting", PARAMETERS), switch=switch)
    switch.freeze()
    assert path.on_message(snapshot(), NOW, 0) == ("events", [])
    assert {rule for _, rule, _ in path.refused} == {"frozen"}
    path.take_journal()
    path.on_message(b'{"result":null}', NOW + 1)
    told = np.frombuffer(path.take_journal(), EVENT)
    assert set(told["kind"].tolist()) == {EventKind.REPORT}
    assert {price & 255 for price in told["price"].tolist()} == {ReportState.REJECTED}


def test_what_a_callback_raises_is_raised_and_nothing_is_sent_after_it() -> None:
    class Wrong(Strategy):
        def on_book(self, ctx: Context, book: BookView) -> None:
            ctx.quote(book.instrument, ((book.bid - 1, 100),), ())
            raise LookupError("a mistake")

    path = live(Wrong("q"))
    with pytest.raises(LookupError, match="a mistake"):
        path.on_message(snapshot(), NOW, 0)
    with pytest.raises(RuntimeError, match="failed before"):
        path.on_message(diff(11, [["100.01", "1"]], []), NOW + 1)


def test_messages_and_records_that_are_none_are_refused() -> None:
    path = live(("quoting", PARAMETERS))
    with pytest.raises(native.DecodeError):
        path.on_message(b'{"e":"depthUpdate"', NOW)
    for record in (b"short", bytes(64) + b"more"):
        with pytest.raises(ValueError, match=r"payload|record"):
            path.on_event(record)
    assert path.on_disconnected(NOW) == []
    with pytest.raises(ValueError, match="venue 3"):
        native.LivePath(
            engine_config([BTC], [("q", ("quoting", PARAMETERS))], account="USDT"),
            [("quoting", PARAMETERS)],
            [],
            [(3, native.OrderSigner.binance("v", native.HotKey("hmac", "s"), [], door="websocket", api_key="k",
                                            switch=native.FreezeSwitch()))],
        )  # fmt: skip
