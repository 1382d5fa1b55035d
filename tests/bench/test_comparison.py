"""The protocol between a bench and the processes it measures, without anybody's engine."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bench.comparison import TERMS, Peer, interleave, on
from bench.comparison import _fits as fits
from bench.market import Market, seeded
from engine.records import EventFlag, EventKind


def toy():
    return Peer("toy", [sys.executable, "-m", "tests.bench.toy_peer"])


@pytest.fixture(scope="module")
def market():
    return Market("toy", seeded(messages=200))


def test_a_peer_sees_the_records_and_answers_only_in_answers(market):
    peer = toy()
    with on(market, [peer]):
        answer = peer.ask("count", work=10)
        assert peer.versions == {"toy": "1"}
        assert (answer["rows"], answer["total"]) == (len(market.events), 45)
        assert answer["first"] == market.events["price"][0]
        assert answer["seconds"] >= 0
        assert answer["outside_seconds"] >= 0
        assert peer.ask("count", work=3)["total"] == 3


def test_a_peer_that_dies_says_why(market):
    peer = toy()
    with on(market, [peer]), pytest.raises(RuntimeError, match="why it died"):
        peer.ask("die")


def test_rounds_go_there_and_back_and_the_first_warms_up():
    order = []

    def run(name, seconds):
        order.append(name)
        return {"seconds": seconds.pop(0), "cpu_seconds": 1.0, "fills": len(order)}

    times = {"a": [9.0, 1.0, 3.0, 2.0], "b": [5.0, 5.0, 5.0, 5.0]}
    runs = {name: lambda name=name, times=times: run(name, times[name]) for name in times}
    answers = interleave(runs, rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert answers["a"]["seconds"] == 2.0
    assert answers["a"]["warm_seconds"] == 7.0
    assert answers["b"]["warm_seconds"] == 0.0


@pytest.mark.parametrize(
    ("minor", "wanted", "expected"),
    [("3.11", ">=3.11,<3.13", True), ("3.13", ">=3.11,<3.13", False), ("3.13", ">=3.13,<3.14", True)],
)
def test_an_interpreter_fits_what_a_peer_wants(minor, wanted, expected):
    assert fits(minor, wanted) is expected


def test_the_seeded_market_is_one_and_never_crossed(market):
    assert (seeded(messages=200) == market.events).all()
    sides = [{}, {}]
    for event in market.events:
        if event["kind"] != EventKind.LEVEL:
            continue
        side = sides[event["side"]]
        if event["size"]:
            side[event["price"]] = event["size"]
        else:
            side.pop(event["price"], None)
        if event["flags"] & EventFlag.LAST:
            assert max(sides[0]) < min(sides[1])
    assert (np.diff(market.events["time_local_ns"]) >= 0).all()


def test_the_head_of_a_market_ends_with_a_message(market):
    head = market.head(2_100)
    assert len(head.events) > 2_100
    assert head.events["flags"][-1] & EventFlag.LAST


def test_our_side_runs_every_case_and_decides_the_same_natively_and_in_python(market):
    ours = Peer.ours()
    with on(market, [ours]):
        assert ours.ask("replay", **TERMS)["rows"] == len(market.events)
        native, python = (
            ours.ask("make_market", **TERMS, interval_ns=10_000_000, python=python) for python in (False, True)
        )
        assert native["digest"] == python["digest"]
        assert native["actions"] > 10
        messages = int((market.events["flags"] & EventFlag.LAST != 0).sum())
        assert ours.ask("callbacks", **TERMS, by_message=True)["wakes"] == messages
        assert ours.ask("callbacks", **TERMS, by_message=False)["wakes"] == len(market.events)
