"""`capstan venues`: the matrix on a terminal and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cex.venues.matrix import FEATURES, capabilities
from cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["venues", *arguments])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def test_the_list_has_every_venue_and_feature(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["id"] for row in rows] == list(capabilities())
    assert all(set(row["features"]) == set(FEATURES) for row in rows)
    assert all(way["filled_by"] for row in rows for way in row["features"].values())
    code, out, _ = run(capsys, "list")
    assert len(out.splitlines()) == len(rows) + 1


def test_the_list_is_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "list", "--json", "--trading", "--kind", "swap", "--having", "cancel_all_after")[1])
    assert {"okx", "bybit", "hyperliquid"} <= {row["id"] for row in rows}
    assert not {"kraken", "dydx", "binance"} & {row["id"] for row in rows}
    assert all(row["trades"] and "swap" in row["kinds"] for row in rows)


def test_one_venue_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(run(capsys, "show", "kraken", "--json")[1])
    assert shown["dead_man"]["call"] == "cancel_all_orders_after"
    assert shown["order"]["call"] == "POST /0/private/AddOrder"
    assert shown["order"]["client_order_id"] == "body.cl_ord_id"
    code, out, _ = run(capsys, "show", "bitfinex")
    assert code == 0
    assert "integer" in out
    assert "bits 45" in out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("show", "krakn"), "kraken"),
        (("show", "nosuchvenueanywhere"), "capstan venues list"),
        (("list", "--kind", "option"), "spot or swap"),
        (("list", "--having", "magic"), "cancel_all_after"),
    ],
)
def test_what_is_unknown_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], hint: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 2
    assert hint in err


def test_the_list_does_not_import_ccxt() -> None:
    """Which takes most of a second and a hundred MiB."""
    code = "import sys, cli.venues, cex.venues.matrix as m; m.capabilities(); sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
