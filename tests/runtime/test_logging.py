"""Logs: what an exception's trace shows, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog

from runtime import configure_logging, control
from tests.loggers import renew_loggers


@pytest.mark.parametrize("as_json", [True, False])
def test_a_logged_exception_shows_where_it_was_raised_and_no_local_variable(tmp_path: Path, as_json: bool) -> None:
    configure_logging(file=tmp_path / "log", json=as_json)
    word = "hunter2"
    try:
        fail(word)
    except ValueError:
        structlog.get_logger("test").exception("oops", api_secret=word + "3")
    finally:
        structlog.reset_defaults()
    text = (tmp_path / "log").read_text()
    assert "in fail" in text or '"name": "fail"' in text
    assert "wrong password" in text
    assert "hunter" not in text
    assert not as_json or json.loads(text)["event"] == "oops"


def fail(password: str) -> None:
    raise ValueError("wrong password" if password else "none")


def test_what_a_test_has_set_is_not_what_the_next_ones_loggers_write_by(tmp_path: Path, capsys) -> None:
    configure_logging(file=tmp_path / "log")
    control.log.warning("first")
    renew_loggers()
    control.log.warning("second")
    assert "second" not in (tmp_path / "log").read_text()
    assert "second" in capsys.readouterr().out
