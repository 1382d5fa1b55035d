"""`capstan data` from a recording to a store, and what it says of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from cli.main import main
from engine.data import import_parquet, open_store

_LINES = (
    b'10 {"lastUpdateId":5,"bids":[["9.0","1"]],"asks":[["9.2","1"]]}\n'
    b'20 {"stream":"ab@depth","data":{"e":"depthUpdate","E":1,"s":"AB","U":6,"u":6,"b":[["9.1","2"]],"a":[]}}\n'
    b'30 {"stream":"ab@depth","data":{"e":"depthUpdate","E":1,"s":"AB","U":8,"u":8,"b":[["9.1","0"]],"a":[]}}\n'
)
_FORM = ["--symbol", "AB", "--tick", "0.1", "--lot", "0.001"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", *map(str, arguments)])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "ab.gz"
    path.write_bytes(gzip.compress(_LINES))
    return path


def test_a_recording_becomes_a_store_that_says_what_it_holds(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ab.events"
    code, told, warned = run(capsys, "import", recording, "--out", out, *_FORM, "--shift-ns", 5, "--json")
    assert code == 0
    assert "1 gaps" in warned
    found = json.loads(told)
    assert found["kinds"] == {"LEVEL": 3, "CLEAR": 1, "STALE": 1}
    assert (found["first_ns"], found["last_ns"], found["messages"]["gaps"]) == (15, 35, 1)
    store = open_store(out)
    assert (len(store.events), store.digest) == (5, found["digest"])
    code, told, _ = run(capsys, "info", out, "--verify", "--json")
    assert code == 0
    assert json.loads(told) == {key: value for key, value in found.items() if key != "messages"}
    code, told, _ = run(capsys, "info", out)
    assert "binance AB, tick 0.1, lot 0.001" in told

    parquet, again = tmp_path / "ab.parquet", tmp_path / "again.events"
    assert run(capsys, "export", out, "--out", parquet)[0] == 0
    assert import_parquet(parquet).tobytes() == store.events.tobytes()
    assert run(capsys, "import", parquet, "--out", again, *_FORM)[0] == 0
    assert open_store(again).digest == store.digest


def test_nothing_is_overwritten_and_errors_are_one_line(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ab.events"
    out.write_bytes(b"mine")
    code, _, warned = run(capsys, "import", recording, "--out", out, *_FORM)
    assert code != 0
    assert "exists already" in warned
    assert out.read_bytes() == b"mine"
    code, _, warned = run(capsys, "info", out)
    assert code != 0
    assert "not an event store" in warned
    wrong = ["--symbol", "XY", "--tick", "0.1", "--lot", "0.001"]
    code, _, warned = run(capsys, "import", recording, "--out", tmp_path / "xy.events", *wrong)
    assert code != 0
    assert "line 2" in warned
    assert not (tmp_path / "xy.events").exists()
