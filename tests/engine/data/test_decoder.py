"""The native decoder against plain Python, on made-up and on recorded messages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import capstan_native as native
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import EVENT
from tests.reference.feed import Record, ReferenceFeed
from tests.support.market_data import RECORDINGS, recording_paths

_SOURCE = ("AB", 3, "0.05", "0.001")


def _records(data: bytes) -> list[Record]:
    return [(*row[:-1], *row[-1]) for row in np.frombuffer(data, EVENT).tolist()]


_price = st.integers(0, 10**7).map(lambda ticks: f"{ticks * 5 // 100}.{ticks * 5 % 100:02}")
_size = st.decimals(0, 10**6, places=5).map(lambda size: f"{size:f}")
_levels = st.lists(st.tuples(_price, _size).map(list), max_size=6)
_time = st.integers(1_600_000_000_000, 1_900_000_000_000)


@st.composite
def _streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages of one market: mostly in sequence, sometimes with a hole, an old one or a snapshot that is too old."""
    is_futures, messages, last = draw(st.booleans()), list[dict[str, Any]](), draw(st.integers(10, 10**13))
    for _ in range(draw(st.integers(1, 12))):
        match draw(st.sampled_from(["diff", "diff", "diff", "hole", "old", "snapshot", "trade", "best"])):
            case "snapshot":
                at = max(0, last + draw(st.integers(-3, 2)))
                messages.append({"lastUpdateId": at, "bids": draw(_levels), "asks": draw(_levels)})
            case "trade":
                trade = {"e": "trade", "E": draw(_time), "s": "AB", "t": draw(st.integers(0, 10**12))}
                price = draw(_price.filter(lambda text: float(text) > 0))
                messages.append(trade | {"p": price, "q": draw(_size), "T": draw(_time), "m": draw(st.booleans())})
            case "best":
                best = {"u": last, "s": "AB", "b": draw(_price), "B": draw(_size), "a": draw(_price), "A": draw(_size)}
                messages.append(best)
            case kind:
                previous = last + {"diff": 0, "hole": 5, "old": -4}[kind]
                first = max(1, previous + 1 + (draw(st.integers(0, 2)) if is_futures else 0))
                last = first + draw(st.integers(0, 4))
                diff = {"e": "depthUpdate", "E": draw(_time), "s": "AB", "U": first, "u": last}
                if is_futures:
                    diff |= {"T": draw(_time), "pu": max(0, previous)}
                messages.append(diff | {"b": draw(_levels), "a": draw(_levels)})
    return messages


@given(messages=_streams(), wrap=st.booleans(), spaces=st.booleans(), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_every_message_gives_the_records_of_the_reference(
    messages: list[dict[str, Any]], wrap: bool, spaces: bool, shuffle: Any
) -> None:
    ours, reference = native.FeedDecoder([_SOURCE]), ReferenceFeed(*_SOURCE)
    for number, message in enumerate(messages):
        keys = list(message)
        if number % 3 == 2 and "bids" not in message and isinstance(message.get("b", ""), str):
            shuffle.shuffle(keys)
        ordered: dict[str, Any] = {key: message[key] for key in keys}
        is_snapshot = "bids" in message
        if wrap and not is_snapshot:
            ordered = {"stream": "ab@any", "data": ordered}
        text = json.dumps(ordered, separators=None if spaces else (",", ":")).encode()
        local = 1_700_000_000_000_000_000 + number
        outcome, data = ours.decode(text, local, 3 if is_snapshot else None)
        assert (outcome, _records(data)) == reference.decode(text, local), text


@given(data=st.data(), messages=_streams())
@settings(max_examples=200, deadline=None)
def test_a_damaged_message_is_read_as_python_reads_it_or_refused(
    data: st.DataObject, messages: list[dict[str, Any]]
) -> None:
    ours = native.FeedDecoder([_SOURCE])
    for message in messages:
        text = json.dumps(message, separators=(",", ":")).encode()
        asked = 3 if "bids" in message else None
        at = data.draw(st.integers(0, len(text) - 1))
        damaged = text[:at] + data.draw(st.binary(max_size=2)) + text[at + 1 :]
        try:
            outcome, _ = ours.decode(damaged, 1, asked)
        except native.DecodeError:
            ours.decode(text, 1, asked)  # What was refused is forgotten: the whole one is still readable.
        else:
            assert outcome == "ignored" or isinstance(json.loads(damaged), dict)


def _lines(paths: list[Path]) -> Iterator[tuple[int, bytes]]:
    for path in paths:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                time, _, message = line.rstrip().partition(b" ")
                yield int(time), message


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_messages_give_the_records_of_the_reference(market_data: Path, name: str) -> None:
    form = RECORDINGS[name].form
    source = (form.symbol, 3, form.tick_size, form.lot_size)
    ours, reference = native.FeedDecoder([source]), ReferenceFeed(*source)
    count = 0
    for time, message in islice(_lines(recording_paths(market_data, name)), 3_000):
        asked = None if message.startswith(b'{"stream"') else 3
        outcome, data = ours.decode(message, time, asked)
        assert (outcome, _records(data)) == reference.decode(message, time)
        count += len(data) // 64
    assert count > 10_000


def test_steps_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        native.FeedDecoder([("AB", 0, "0", "1")])
