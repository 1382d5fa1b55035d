"""`capstan api bootstrap` and `recover`: an organisation and its owner, and letting somebody in again."""

from __future__ import annotations

import json
from base64 import b32decode
from pathlib import Path

import pytest

from api import create_app
from api.auth.totp import code_at, provisioning_uri
from cli.api_services import open_services
from cli.data_dir import DataDir
from cli.main import main
from tests.api.callers import Caller
from tests.api.lab import JSON, Client

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
        main(["api", *arguments])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


async def test_the_printed_key_signs_requests_and_a_second_run_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "capstan.toml").write_text(SETTINGS)
    arguments = ("bootstrap", "acme", "--email", "Ann@Acme.example", "--data-dir", str(tmp_path), "--json")
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

    capsys.readouterr()  # what the application logged
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
    code, out, err = run(capsys, "bootstrap", *arguments, "--data-dir", str(tmp_path))
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")


async def test_who_has_lost_everything_is_let_in_again_and_nothing_of_before_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "capstan.toml").write_text(SETTINGS)
    folder = ("--data-dir", str(tmp_path), "--json")
    _, out, _ = run(capsys, "bootstrap", "acme", "--email", "ann@acme.example", *folder)
    made = json.loads(out)
    code, out, _ = run(capsys, "recover", "Ann@acme.example", *folder)
    given = json.loads(out)
    assert (code, given["user"]) == (0, made["user"])
    services = open_services(DataDir(tmp_path))
    client = Client(create_app(services))
    for secrets, status in ((made, 401), (given, 200)):
        step = services.clock.now_ns() // 10**9 // 30
        login = {
            "email": "ann@acme.example", "password": secrets["password"],
            "code": code_at(b32decode(secrets["totp_seed"]), step),
        }  # fmt: skip
        answer = await client.full("POST", "/v1/auth/login", json.dumps(login).encode(), headers=JSON)
        assert answer.status == status
    assert (await Caller.of(client, services, made).ask("GET", "/v1/keys"))[0] == 200  # programs go on
    services.database.dispose()
    capsys.readouterr()  # what the application logged
    code, out, err = run(capsys, "recover", "nobody@acme.example", *folder)
    assert (code, out) == (1, "")
    assert err.startswith("error: nobody@acme.example is nobody here")
