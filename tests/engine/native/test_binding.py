"""The kernel as Python holds it: configuration, records with payloads, and what is told of its state."""

from __future__ import annotations

import numpy as np
import pytest
from capstan_native import Kernel, KernelBroken

from engine.records import CommandKind, EventKind, ReportState
from tests.engine.native import desk
from tests.engine.native.desk import BTC, BUY, SECOND, SPOT, USD


def test_an_order_lives_and_everything_of_it_is_told():
    kernel = desk.opened(Kernel(desk.config()))
    order_id = kernel.place(0, SPOT, BUY, 500_000, 100)
    assert order_id is not None
    (place,) = desk.commands(kernel.take_commands())
    assert (place["client_id"], place["kind"], place["price"], place["size"]) == (
        order_id,
        CommandKind.PLACE,
        500_000,
        100,
    )
    kernel.step(desk.report(2 * SECOND, order_id, ReportState.ACCEPTED, venue_order=9))
    assert kernel.reserved(0, SPOT) == (100, 0, 100 * 500_000)
    kernel.step(desk.fill(2 * SECOND, order_id, BUY, 500_000, 40, 1, fee=7))
    order = kernel.order(order_id)
    assert order is not None
    assert (order["state"], order["filled"], order["venue_order"]) == ("partially_filled", 40, 9)
    assert (kernel.position(0, SPOT), kernel.moved(0, BTC), kernel.balance(BTC)) == (40, 40_000, 40_000)
    assert kernel.moved(0, USD) == -40 * 50_000_000 - 7
    assert kernel.result() == 40_000 * 50_000_05 // 100 - 40 * 50_000_000 - 7


def test_payloads_follow_their_records():
    kernel = Kernel(desk.config())
    kernel.step(desk.balance(1, USD, 10**20) + desk.balance(1, BTC, -5) + desk.timer(2))
    assert (kernel.balance(USD), kernel.balance(BTC), kernel.events) == (10**20, -5, 3)


def test_a_view_of_records_is_taken_as_it_is():
    kernel = Kernel(desk.config())
    events = np.frombuffer(desk.book(1, 10, 11), np.uint8)
    kernel.step(memoryview(events))
    assert kernel.best(SPOT) == ((10, 10**6), (11, 10**6))


@pytest.mark.parametrize("data", [b"x" * 63, desk.balance(1, USD, 1)[:64]])
def test_what_is_no_whole_record_is_refused(data):
    with pytest.raises(ValueError, match=r"record|cut off"):
        Kernel(desk.config()).step(data)


def test_what_contradicts_the_kernel_breaks_it():
    kernel = desk.opened(Kernel(desk.config()))
    order_id = kernel.place(0, SPOT, BUY, 500_000, 100)
    with pytest.raises(KernelBroken, match="101 lots exceeds the 100"):
        kernel.step(desk.fill(SECOND, order_id, BUY, 500_000, 101, 1))


def test_who_is_woken_and_why():
    kernel = Kernel(desk.config())
    assert kernel.ingest(desk.record(EventKind.CLEAR, 1)) == (0, 0)
    assert kernel.ingest(desk.book(1, 10, 11)) == (3, desk.BOOK)
    assert kernel.ingest(desk.timer(2)) == (3, desk.TIMER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unknown": 1}, "unknown keys"),
        ({"run": -1}, "run"),
        ({"strategies": [{"name": "a"}, {"name": "a"}]}, "two strategies"),
        ({"limits": {"colar_ppm": 1}}, "colar_ppm"),
        ({"limits": {"losses": {"drawdown": (1, 9)}}}, "9 is no stage"),
    ],
)
def test_a_configuration_that_makes_no_sense_says_where(change, message):
    with pytest.raises(ValueError, match=message):
        Kernel(desk.config(**change))


def test_a_missing_key_is_named():
    given = desk.config()
    del given["instruments"][0]["tick"]
    with pytest.raises(KeyError, match=r"instruments\[0\]: tick is missing"):
        Kernel(given)
