"""From a tick's bytes to signed order bytes, in one process: p50 and p99 of single inputs.

One figure is the wall time of `LivePath.on_message` as Python calls it, for those inputs that led to orders. Included:
the call, decoding and sequence check, the record into the journal's buffer, book, kernel, strategy, risk gate, order
management, encoding and signing of every frame (an order that moves is a cancel and a place), and the frames as bytes
objects. Not included: sockets, TLS, WebSocket framing, and writing the journal to disk. Venue answers are fed between
the inputs, outside the measurement. The messages are a recording of Binance USD-M where there is one, as they were sent
(up to hundreds of levels each); else seeded ones of a few levels.
"""

from __future__ import annotations

import gc
import gzip
import json
import random
import statistics
import struct
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import capstan_native as native
import numpy as np

from bench.comparison import Unavailable, live_peer
from bench.rows import Row, bound_row, figure_row, notes
from custody.session_keys import ListedCall, ListedInstrument, SessionAuthority, SessionTerms
from custody.session_keys.statements import allotment_text, certificate_text
from engine.records import COMMAND, CommandKind, EventKind, ReportState
from engine.sdk.run import Market, engine_config
from engine.strategies.quoting import Quoting
from runtime import Secret
from tests.support.market_data import market_data_folder, recording_paths

MESSAGES: Final = 100_000
WARM: Final = 50
ROUNDS: Final = 5
_EVENT: Final = struct.Struct("<qqIBBHqqQqq")
_INSTRUMENT: native.HotInstrument = (0, "BTCUSDT", 1, 1, 1, 3)
_SOURCE: Final = ("BTCUSDT", 0, "0.1", "0.001")
_SIZE: Final = 10
_FAR_NS: Final = 4_000_000_000 * 10**9
_AUTHORITY: Final = SessionAuthority(Secret("07" * 32))
_SECRET: Final = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
"""A private key of Ethereum's documentation."""


_QUOTING: Final = ("quoting", {"instrument": 0, "size": _SIZE, "behind": 1, "position_max": 10**6, "interval_ns": 0})

Messages = list[tuple[int, bytes]]


def run() -> list[Row]:
    """Measure; takes about a minute."""
    folder = market_data_folder()
    seeded = list(_made())
    feeds = [("ticks of six levels", seeded)]
    if folder is None:
        notes.append("engine_live: no recording here, seeded ticks alone")
    else:
        feeds.insert(0, ("recorded USD-M", list(islice(_recorded(folder), MESSAGES))))
    rows = []
    for feed, messages in feeds:
        for name, strategy, kind, bounds in (
            ("native, HMAC", lambda: _QUOTING, "hmac", (6.0, 25.0)),
            ("Python, HMAC", _python_quoting, "hmac", (15.0, 60.0)),
            ("native, Ed25519", lambda: _QUOTING, "ed25519", None),
            ("native, EIP-712", lambda: _QUOTING, "secp256k1", None),
        ):
            found = _rows(f"tick to signed orders, {name}, {feed}", messages, strategy, kind, bounds)
            rows += found
            if any(row["ok"] is False for row in found):
                _tell_profile(feed, messages)
    return rows + _single() + _peer()


def _peer() -> list[Row]:
    """NautilusTrader's live engines, which neither decode nor sign: what our ticks to signed bytes stand beside."""
    try:
        with live_peer() as ask:
            p50_us = statistics.median(float(ask()["p50_ns"]) for _ in range(3)) / 1_000
    except Unavailable as error:
        notes.append(f"engine_live: no peer: {error}")
        return []
    name = "quote to the order at its adapter, neither decoded nor signed, p50"
    return [figure_row(topic="engine", name=name, ours=p50_us, unit="us", peer_name="this is NautilusTrader 1.221")]


def _rows(title: str, messages: Messages, strategy: Any, kind: str, bounds: tuple[float, float] | None) -> list[Row]:
    measured = [_measure(messages, strategy(), kind) for _ in range(ROUNDS if len(messages) > MESSAGES // 2 else 1)]
    times, frames = [took for one, _ in measured for took in one], sum(sent for _, sent in measured)
    notes.append(f"{title}: {len(times)} inputs that led to orders, {frames / len(times):.1f} frames each")
    rows = []
    for rank, (label, value) in enumerate(
        (("p50", statistics.median(times)), ("p99", float(np.quantile(times, 0.99))))
    ):
        if bounds:
            row = bound_row(topic="engine", name=f"{title}, {label}", ours=value, unit="us", most=bounds[rank])
        else:
            row = figure_row(topic="engine", name=f"{title}, {label}", ours=value, unit="us", peer_name="no bound")
        rows.append(row)
    return rows


def _tell_profile(feed: str, messages: Messages) -> None:
    """Say where the time goes: the same inputs without signers, and decoding alone."""
    unsigned = statistics.median(_measure(messages, _QUOTING, None)[0])
    decoder = native.FeedDecoder([_SOURCE])
    alone, levels, best = [], [], None
    book = native.Kernel(_config(_QUOTING))
    for now_ns, message in messages:
        began = time.perf_counter_ns()
        _, events = decoder.decode(message, now_ns, 0)
        took = time.perf_counter_ns() - began
        book.ingest(events)
        if (now := book.best(0)) is not None and _touch(now) != best:
            best = _touch(now)
            alone.append(took / 1_000)
            levels.append(len(events) // 64)
    notes.append(
        f"profile, {feed}: the median message that moved the touch holds {statistics.median(levels):.0f} levels;"
        f" decoding it alone takes {statistics.median(alone):.1f} us, all but encoding and signing {unsigned:.1f} us"
    )


def _touch(best: Any) -> tuple[int, int]:
    return best[0][0], best[1][0]


def _config(strategy: Any) -> dict[str, Any]:
    market = Market("v:BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), contract="linear")
    return engine_config([market], [("q", strategy)], account="USDT")


def _measure(messages: Messages, strategy: Any, kind: str | None) -> tuple[list[float], int]:
    """Feed the messages; give microseconds of those that led to a new order, and how many frames they were."""
    signers = [] if kind is None else [(0, _signer(kind))]
    path = native.LivePath(_config(strategy), [strategy], [_SOURCE], signers)
    clock, place, cancel = time.perf_counter_ns, int(CommandKind.PLACE), int(CommandKind.CANCEL)
    times: list[float] = []
    sent = 0
    gc.collect()
    gc.disable()
    try:
        for now_ns, message in messages:
            began = clock()
            _, frames = path.on_message(message, now_ns, 0)
            took = clock() - began
            if not path.commands:
                continue
            kinds = np.frombuffer(path.commands, COMMAND)["kind"]
            if (kinds == place).any():
                times.append(took / 1_000)
                sent += len(frames)
            # The venue answers; what that leads to is answered as well.
            waiting = _answers(path, now_ns, place, cancel)
            while waiting:
                path.on_event(waiting.pop(0))
                waiting += _answers(path, now_ns, place, cancel)
            path.take_journal()
    finally:
        gc.enable()
    if path.refused or len(times) < 2 * WARM:
        raise AssertionError(f"{len(times)} inputs led to orders, refused: {path.refused[:3]}")
    return times[WARM:], round(sent * (len(times) - WARM) / len(times))


def _answers(path: native.LivePath, now_ns: int, place: int, cancel: int) -> list[bytes]:
    states = {place: ReportState.ACCEPTED, cancel: ReportState.CANCELED}
    found = []
    for command in np.frombuffer(path.commands, COMMAND):
        kind, client_id = int(command["kind"]), int(command["client_id"])
        if kind in states:
            signed = client_id - (1 << 64) if client_id >> 63 else client_id
            price = int(states[kind]) | kind << 8
            found.append(_EVENT.pack(now_ns, now_ns, 0, EventKind.REPORT, 255, 1, price, -1, 0, signed, 0))
    return found


def _single() -> list[Row]:
    """One command encoded and signed, and one call of a contract, without anything around them."""
    record = np.zeros((), COMMAND)
    record["kind"], record["client_id"], record["price"], record["size"] = CommandKind.PLACE, 7, 500_000, _SIZE
    order, now_ns = record.tobytes(), time.time_ns()
    rows = []
    for kind, name in (
        ("hmac", "HMAC, WebSocket API"),
        ("ed25519", "Ed25519, WebSocket API"),
        ("secp256k1", "secp256k1, EIP-712 order of Hyperliquid"),
    ):
        signer = _signer(kind)
        rows.append(_figure(name, lambda signer=signer: signer.encode(order, now_ns)))
    key = native.HotKey("secp256k1", _SECRET)
    caller = native.ContractCaller(1, key, _warden(key, "chain/1"))
    data = bytes.fromhex("414bf389") + bytes(8 * 32)
    call = {"nonce": 1, "to": b"\xa5" * 20, "value_wei": 0, "data": data, "gas_limit": 200_000, "now_ns": now_ns}
    fees = {"max_fee_per_gas_wei": 30 * 10**9, "max_priority_fee_per_gas_wei": 10**9}
    rows.append(_figure("secp256k1, EIP-1559 call", lambda: caller.sign(**call, **fees)))
    return rows


def _figure(name: str, work: Any) -> Row:
    times = []
    for _ in range(3_000):
        began = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - began) / 1_000)
    label = f"one order encoded and signed, {name}, p50"
    return figure_row(topic="engine", name=label, ours=statistics.median(times), unit="us", peer_name="no bound")


def _python_quoting() -> Quoting:
    return Quoting("q", size=_SIZE, position_max=10**6, behind=1, interval_ms=0)


def _signer(kind: str) -> native.OrderSigner:
    if kind == "secp256k1":
        key = native.HotKey(kind, _SECRET)
        return native.OrderSigner.hyperliquid("v", key, [(_INSTRUMENT, 0)], warden=_warden(key, "venue/v"))
    key = native.HotKey(kind, "s" * 64 if kind == "hmac" else "05" * 32)
    options: Any = {"door": "websocket", "api_key": "k" * 64, "switch": native.FreezeSwitch()}
    return native.OrderSigner.binance("v", key, [_INSTRUMENT], **options)


def _warden(key: native.HotKey, scope: str) -> native.SessionWarden:
    """Hold a key to limits that nothing here reaches: they are checked and counted all the same."""
    terms = SessionTerms(
        key=key.name,
        scope=scope,
        purpose="bench",
        asset="USDT",
        decimals=8,
        from_ns=0,
        until_ns=_FAR_NS,
        order_max=1 << 80,
        window_s=86_400,
        window_max=1 << 110,
        window_count=1 << 30,
        instruments=() if scope.startswith("chain/") else (ListedInstrument("BTCUSDT", "0.1", "0.001"),),
        calls=(ListedCall("0x" + "a5" * 20, "0x414bf389", 4),) if scope.startswith("chain/") else (),
        fee_max_wei=10**18 if scope.startswith("chain/") else 0,
    ).check()
    certificate = _AUTHORITY.certify(certificate_text(1, terms))
    warden = native.SessionWarden(
        certificate.text, certificate.signature, _AUTHORITY.public, key, native.FreezeSwitch()
    )
    text = allotment_text(1, warden.instance, 1, value=1 << 109, count=1 << 29, from_ns=0, until_ns=_FAR_NS)
    allotment = _AUTHORITY.certify(text)
    warden.allot(allotment.text, allotment.signature, 1)
    return warden


def _recorded(folder: Any) -> Iterator[tuple[int, bytes]]:
    for path in recording_paths(folder, "usdm_btcusdt"):
        with gzip.open(path, "rb") as lines:
            for line in lines:
                stamp, _, message = line.rstrip().partition(b" ")
                yield int(stamp), message


def _made() -> Iterator[tuple[int, bytes]]:
    chance, middle, now_ns = random.Random(7), 500_000, 1_700_000_000 * 10**9

    def levels(first: int, step: int, count: int) -> list[list[str]]:
        ticks = [first + step * at for at in range(count)]
        return [[f"{price // 10}.{price % 10}", f"{chance.randint(1, 9_999) / 1_000:.3f}"] for price in ticks]

    head = {"lastUpdateId": 1, "E": now_ns // 10**6, "T": now_ns // 10**6}
    book = {"bids": levels(middle - 1, -1, 1_000), "asks": levels(middle + 1, 1, 1_000)}
    yield now_ns, json.dumps(head | book, separators=(",", ":")).encode()
    for update in range(2, MESSAGES // 2):
        now_ns += chance.randint(1, 20_000_000)
        step = chance.choice((-1, 0, 0, 1))
        # What the step leaves crossed is gone.
        gone = [[f"{(middle + step) // 10}.{(middle + step) % 10}", "0.000"]]
        middle += step
        data = {
            "e": "depthUpdate", "E": now_ns // 10**6, "T": now_ns // 10**6, "s": "BTCUSDT",
            "U": update, "u": update, "pu": update - 1,
            "b": levels(middle - 1, -1, 2) + gone, "a": levels(middle + 1, 1, 2) + gone,
        }  # fmt: skip
        message = {"stream": "btcusdt@depth@0ms", "data": data}
        yield now_ns, json.dumps(message, separators=(",", ":")).encode()
