"""The command line's manners: quick help, one line for an error, a hint, no traceback, nothing half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.main import get_command

from chain.devnet import DevnetWorld
from cli.main import app
from runtime.processes import die_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]


def every_command(group, path=()):
    """Every command and group of commands, as what is typed after `capstan`."""
    yield path
    for name in group.list_commands(None) if hasattr(group, "list_commands") else ():
        yield from every_command(group.get_command(None, name), (*path, name))


COMMANDS = tuple(every_command(get_command(app)))
SILENT = {("api", "document"),
    ("api", "serve"), ("engine", "run"), ("ledger", "proof", "message"), ("ledger", "proof", "own"),
    ("ledger", "proof", "user"), ("strategies", "schema"), ("withdrawals", "address", "remove"),
    ("withdrawals", "seal-key"), *(command[:-1] for command in COMMANDS if command),
}  # fmt: skip
"""Groups, and commands that have nothing to say or say it in a form of their own: no --json."""


def capstan(*arguments, cwd=ROOT, timeout_s=60.0, environment=None):
    """Run a command in a process of its own that dies with the test."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        preexec_fn=die_with_parent,
    )


def assert_is_error(done, *words):
    """One `error:` line that holds the words, a hint, nothing on standard output, and no traceback."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode not in (0, -9)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert [line for line in lines if line.startswith("  hint: ")], done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return errors[0]


# --- help


HEAVY = ("ccxt", "web3", "plotly", "eth_account", "bip_utils", "sqlalchemy")


HELP_OF_EACH = f"""
import asyncio, contextlib, io, json, os, sys, traceback
from cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
import pydantic.root_model, rich.markdown
for command in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()  # Each command in a process of its own, with what all of them share loaded once.
    if child == 0:
        try:
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
                main([*command, "--help"])
            print(json.dumps([out.getvalue(), [name for name in {HEAVY!r} if name in sys.modules]]), flush=True)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{{command}} failed")
"""


PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
def test_every_command_answers_help_without_loading_what_it_would_work_with(part):
    commands = COMMANDS[part::PARTS]
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_EACH, json.dumps(commands)],
        cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(commands)
    for command, (text, loaded) in zip(commands, answers, strict=True):
        assert "Usage: " in text, command
        assert "completion" not in text, command
        assert ("--json" in text) is (command not in SILENT), command
        assert loaded == [], command


def test_version_and_no_command():
    assert capstan("--version").stdout.strip().count(".") == 2
    bare = capstan()
    assert bare.returncode == 2
    assert "Usage: capstan" in bare.stdout
    assert bare.stderr == ""


# --- what a person mistypes


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",), ("engine", "nonsense"), ("demo", "--bogus"), ("demo", "--seconds", "soon"),
        ("demo", "--seconds", "1"), ("chain", "devnet", "--port", "99999999"), ("wallets", "show"),
        ("api", "serve", "--port", "0"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_with_a_hint(arguments):
    done = capstan(*arguments)
    assert done.returncode == 2
    assert "--help" in assert_is_error(done) + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("engine", "run", "--data-dir", "absent"), ("engine", "status", "--data-dir", "absent"),
        ("replay", "absent"), ("engine", "backtest", "absent"), ("kill", "--data-dir", "absent"),
        ("ledger", "verify", "--data-dir", "absent"), ("ledger", "balances", "--data-dir", "absent"),
        ("signer", "serve", "--data-dir", "absent"), ("api", "serve", "--data-dir", "absent"),
        ("api", "serve", "--host", "0.0.0.0"), ("sandbox", "serve", "--accounts", "absent"),
    ],
)  # fmt: skip
def test_absent_installation_is_named_and_nothing_is_made(tmp_path, arguments):
    done = capstan(*arguments, cwd=tmp_path)
    assert_is_error(done)
    assert list(tmp_path.rglob("*")) == []


def test_file_that_is_no_journal_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    done = capstan("replay", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {path} is not a journal\n"
    assert path.read_text() == "dear diary"


def test_traceback_comes_with_debug_only(tmp_path):
    arguments = ("engine", "status", "--data-dir", tmp_path)
    assert "Traceback" not in capstan(*arguments).stderr
    assert "Traceback" in capstan("--debug", *arguments).stderr


# --- settings

SETTINGS = """
[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "{exchange}"
instruments = ["ETHUSDC"]
api_key = "literal-test:k"
secret = "literal-test:s"
"""
CHAIN = """
[chain]
chain_id = {chain_id}
endpoints = ["{node}"]
address_book = "book.json"
"""


def installation(tmp_path, text):
    (tmp_path / "capstan.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (SETTINGS + "\n[engine]\nspeed = 11\n", "engine.speed"),
        ("moed = 'live'\n" + SETTINGS, "moed"),
        ("mode = 'dream'\n" + SETTINGS, "mode"),
        ("venues = []\n", "venues"),
        (SETTINGS.replace('"literal-test:s"', '"hunter2"'), "reference"),
        ("venues = = 3", "not TOML"),
    ],
)
def test_bad_settings_name_the_key_and_never_a_secret(tmp_path, text, word):
    data = installation(tmp_path, text)
    for command in (("engine", "run"), ("api", "serve"), ("ledger", "verify")):
        done = capstan(*command, "--data-dir", data)
        assert_is_error(done, word)
        assert "hunter2" not in done.stderr
    assert not list(tmp_path.glob("*.db*")) + list(tmp_path.glob("journal.bin"))


def test_environment_with_an_unknown_key_is_an_error(tmp_path):
    done = capstan("engine", "run", "--data-dir", installation(tmp_path, SETTINGS), environment={"CAPSTAN__MOOD": "x"})
    assert_is_error(done, "mood")


# --- nodes and exchanges that are not what they should be


class Node(BaseHTTPRequestHandler):
    """Answers every JSON-RPC question with chain id 5, as a node of another chain would."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps({"jsonrpc": "2.0", "id": request.get("id"), "result": "0x5"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def other_chain():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def chain_installation(tmp_path, node, *, book_chain=1337):
    book = DevnetWorld("http://127.0.0.1:1", book_chain, "0x", {}, {}, (), ())
    (tmp_path / "book.json").write_bytes(book.to_json())
    text = SETTINGS.format(exchange="http://127.0.0.1:1") + CHAIN.format(chain_id=1337, node=node)
    return installation(tmp_path, text)


def assert_left_nothing_behind(data):
    """No journal was begun, no books opened, no result written."""
    for name in ("journal.bin", "result.json", "report.html", "engine.sock", "status.json"):
        assert not (data / name).exists(), name


def test_node_of_another_chain_is_refused(tmp_path, other_chain):
    data = chain_installation(tmp_path, other_chain)
    done = capstan("engine", "run", "--data-dir", data, timeout_s=100)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "1337" in done.stderr
    assert " 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert_left_nothing_behind(data)


def test_unreachable_node_is_an_error_in_bounded_time(tmp_path):
    data = chain_installation(tmp_path, f"http://127.0.0.1:{free_port()}")
    done = capstan("engine", "run", "--data-dir", data, timeout_s=100)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert_left_nothing_behind(data)


def test_address_book_of_another_chain_or_of_nothing_is_refused(tmp_path):
    data = chain_installation(tmp_path, "http://127.0.0.1:1", book_chain=1)
    done = capstan("engine", "run", "--data-dir", data)
    assert (done.returncode, done.stderr.count("error: ")) == (1, 1)
    assert "is for chain 1, the settings say 1337" in done.stderr
    (data / "book.json").write_text("[]")
    done = capstan("engine", "run", "--data-dir", data)
    assert (done.returncode, done.stderr.count("error: ")) == (1, 1)
    assert "cannot read the address book" in done.stderr


def test_unreachable_exchange_is_an_error_in_bounded_time(tmp_path):
    data = installation(tmp_path, SETTINGS.format(exchange=f"http://127.0.0.1:{free_port()}"))
    began = time.monotonic()
    done = capstan("engine", "run", "--data-dir", data, timeout_s=100)
    assert time.monotonic() - began < 35
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert_left_nothing_behind(data)


def test_kill_says_which_exchange_it_could_not_reach(tmp_path):
    text = 'mode = "live"\n' + SETTINGS.format(exchange=f"http://127.0.0.1:{free_port()}")
    done = capstan("kill", "--data-dir", installation(tmp_path, text), "--json", timeout_s=100)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_kill_of_a_paper_installation_without_engine_touches_no_exchange(tmp_path):
    data = installation(tmp_path, SETTINGS.format(exchange="http://127.0.0.1:1"))
    done = capstan("kill", "--data-dir", data, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"by": "command", "open_orders": 0}


# --- keys

PHRASE = "test test test test test test test test test test test junk"  # TEST ONLY: published with every devnet.


@pytest.fixture
def secrets(tmp_path):
    texts = {"empty": "", "blank": "  \n", "typo": PHRASE[:-1], "phrase": PHRASE, "password": "pw\n", "wrong": "wp\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("phrase", ["empty", "blank", "typo"])
def test_empty_or_mistyped_phrase_makes_no_keystore(secrets, phrase):
    before = sorted(secrets.iterdir())
    done = capstan(
        "wallets", "import", "--out", "k.json", "--password-ref", "file:password", "--mnemonic-ref", f"file:{phrase}",
        cwd=secrets,
    )  # fmt: skip
    assert_is_error(done)
    assert PHRASE[:20] not in done.stderr
    assert sorted(secrets.iterdir()) == before


def test_wrong_password_opens_nothing_and_serves_nothing(secrets):
    made = capstan(
        "wallets", "import", "--out", "k.json", "--password-ref", "file:password", "--mnemonic-ref", "file:phrase",
        "--json", cwd=secrets,
    )  # fmt: skip
    assert json.loads(made.stdout)["address"] == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    sealed, before = (secrets / "k.json").read_bytes(), sorted(secrets.iterdir())
    for arguments in (
        ("wallets", "show", "k.json", "--password-ref", "file:wrong"),
        ("signer", "serve", "--socket", "s.sock", "--keystore", "k.json", "--password-ref", "file:wrong"),
    ):
        done = capstan(*arguments, cwd=secrets)
        assert done.returncode == 1
        assert done.stderr.startswith("error: k.json: wrong password")
        assert "Traceback" not in done.stderr
    again = capstan(
        "wallets", "import", "--out", "k.json", "--password-ref", "file:password", "--mnemonic-ref", "file:phrase",
        cwd=secrets,
    )  # fmt: skip
    assert_is_error(again, "not overwritten")
    assert (secrets / "k.json").read_bytes() == sealed
    assert sorted(secrets.iterdir()) == before
