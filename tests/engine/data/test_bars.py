"""OHLCV and funding tables of many makers come out alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from domain import InputError
from engine.data import bar_events, funding_events, read_bars, read_funding
from engine.records import EventKind

_HOUR = timedelta(hours=1)
_ROW = {"open": [1.0], "high": [3.0], "low": [0.5], "close": [2.0], "volume": [10.0]}


@pytest.mark.parametrize(
    ("head", "time"),
    [
        ("date", "2024-01-02 03:00:00"),
        ("date", "2024-01-02 03-AM"),
        ("Date", "2024-01-02"),
        ("", "2024-01-02"),
        ("time", "1704164400"),
    ],
)
def test_times_are_read_as_public_tables_write_them(tmp_path: Path, head: str, time: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(f"{head},Open,high,low,close,volume\n{time},1,3,0.5,2,10\n")
    bars = read_bars(path)
    assert bars.row(0)[1:] == (1.0, 3.0, 0.5, 2.0, 10.0)
    assert bars["time"][0] == datetime(2024, 1, 2, 0 if len(time) == 10 and "-" in time else 3, tzinfo=UTC)


def test_bars_become_records_when_they_close(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    pl.DataFrame(_ROW | {"Date": [datetime(2024, 1, 2)]}).write_parquet(path)  # noqa: DTZ001
    (event,) = bar_events(read_bars(path), instrument=2, tick=0.1, lot=0.01, period=_HOUR)
    assert (event["kind"], event["price"], event["size"], event["sequence"]) == (EventKind.BAR, 20, 1000, 5)
    assert event["aux"].tolist() == [10, 30]
    assert event["time_local_ns"] == int(datetime(2024, 1, 2, 1, tzinfo=UTC).timestamp()) * 10**9


def test_newest_first_is_turned_round_and_one_market_of_several_is_picked(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    columns = ",".join(f"{pair}:{name}" for pair in ("A", "B") for name in ("open", "high", "low", "close", "volume"))
    path.write_text(f",{columns}\n2024-01-03,1,1,1,1,1,2,2,2,2,2\n2024-01-02,3,3,3,3,3,,,,,\n")
    assert read_bars(path, symbol="A")["close"].to_list() == [3.0, 1.0]
    assert read_bars(path, symbol="B")["close"].to_list() == [2.0]
    with pytest.raises(InputError, match="no columns of C"):
        read_bars(path, symbol="C")


@pytest.mark.parametrize(
    "text",
    [
        "date,open,high,low,close,volume\n2024-01-02,1,3,1.5,2,1\n",
        "date,open,high,low,close,volume\n2024-01-02,1,3,1,2,1\n2024-01-02,1,3,1,2,1\n",
        "date,open,high,low,close\n2024-01-02,1,3,1,2\n",
        "open,high,low,close,volume\n1,3,1,2,1\n",
    ],
)
def test_tables_that_contradict_themselves_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    with pytest.raises(InputError):
        read_bars(path)


def test_funding_takes_the_mark_of_its_moment(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    rows = {name: values * 2 for name, values in _ROW.items()}
    pl.DataFrame(rows | {"time": [0, 3600]}).write_parquet(path)
    marks = bar_events(read_bars(path), instrument=0, tick=1.0, lot=1.0, period=_HOUR)
    pl.DataFrame({"time": [1800, 3600, 9000], "rate": [0.0001, -0.0003, 0.0]}).write_parquet(path)
    events = funding_events(read_funding(path), instrument=0, marks=marks)
    assert events["aux"][:, 0].tolist() == [100_000_000, -300_000_000, 0]
    assert events["price"].tolist() == [0, 2, 2]


def test_every_recorded_table_is_read(market_data: Path) -> None:
    bars = funding = 0
    for path in sorted((market_data / "ohlcv").iterdir()):
        if "funding" in path.name:
            funding += read_funding(path).height
        else:
            bars += read_bars(path, symbol="BTC" if path.name.startswith("bit") else "").height
    assert (bars > 400_000, funding) == (True, 3 * 1_498)
