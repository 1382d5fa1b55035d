"""`capstan api bootstrap`: an organisation, its owner and a key that works, printed once."""

from __future__ import annotations

import json
from base64 import b32decode
from pathlib import Path

import pytest

from api import create_app
from api.auth.totp import provisioning_uri
from cli.api_services import open_services
from cli.data_dir import DataDir
from cli.main import main
from tests.api.callers import Caller
from tests.api.lab import Client

SETTINGS = """
[api]
password_memory_kib = 64
name = "Acme Desk"

[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "http://127.0.0.1:1"
instruments = ["ETHUSDC"]
api_key = "literal-test:k"
secret = "literal-test:s"
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["api", "bootstrap", *arguments])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


async def test_the_printed_key_signs_requests_and_a_second_run_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "capstan.toml").write_text(SETTINGS)
    arguments = ("acme", "--email", "Ann@Acme.example", "--data-dir", str(tmp_path), "--json")
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    made = json.loads(out)
    assert made["email"] == "ann@acme.example"
    assert made["totp_uri"].startswith("otpauth://totp/Acme%20Desk:ann%40acme.example?secret=")
    assert made["totp_uri"] == provisioning_uri(
        b32decode(made["totp_seed"]), issuer="Acme Desk", account="ann@acme.example"
    )

    services = open_services(DataDir(tmp_path))
    client = Client(create_app(services))
    owner = Caller.of(client, services, made)
    assert (await owner.ask("GET", "/v1/keys"))[0] == 200
    services.database.dispose()

    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert "there is an organisation acme already" in err


@pytest.mark.parametrize(
    "arguments",
    [("Acme Corp", "--email", "a@b.example"), ("acme", "--email", "nobody"), ("acme",)],
)
def test_bad_names_are_one_line_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    (tmp_path / "capstan.toml").write_text(SETTINGS)
    code, out, err = run(capsys, *arguments, "--data-dir", str(tmp_path))
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")
