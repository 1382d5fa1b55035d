"""Secrets are planted, processes are used, wronged and crashed, and then everything they left is searched.

Core files are enabled as far as this machine lets a process; a control without our hardening shows that a core file
would have been written, and that the search would have found the secret in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chain.devnet import TEST_ADDRESSES
from domain import ChainId, PlatformError
from runtime import Secret
from runtime.processes import free_port, spawn
from tests.wallets.hsm.soft_token import SoftTokens, softhsm_module
from tests.wallets.hunt.search import Planted, family, files, forms_of_bytes, forms_of_text, forms_of_words, processes
from tests.wallets.mpc.processes import Processes
from tests.wallets.mpc.test_processes import POLICY
from wallets import HdWallet, MessageToSign, Network, SignerClient, TransactionToSign, generate_mnemonic
from wallets.backup import ShareGroup, split_secret
from wallets.hd import mnemonic_to_entropy
from wallets.hsm import HsmToken
from wallets.mpc import MpcSigner, PartyLink, generate_wallet, init_committee

DEVNET = Network.DEVNET
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=TEST_ADDRESSES[1],
    value_wei=1,
    gas_limit=21_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
)
SETTINGS = f"""
[[venues]]
id = "binance"
exchange = "binance"
instruments = ["ETHUSDC"]

[custody]
account = "{TEST_ADDRESSES[3]}"

[custody.policy]
chain_id = 1337
recipients = ["{TEST_ADDRESSES[1]}"]

[custody.policy.assets]
"eip155:1337/slip44:60" = {{ per_transaction_raw = "100", per_day_raw = "1000" }}
"""


class Crime:
    """A folder for whatever processes leave, the secrets' own files, and what was planted."""

    def __init__(self, root: Path) -> None:
        self.scene, self.home = root / "scene", root / "home"
        for folder in (self.scene, self.scene / "tmp", self.home):
            folder.mkdir()
        mnemonic, key, password = generate_mnemonic(), secrets.token_bytes(32), f'Pa$$"wörd-{secrets.token_hex(8)}'
        self.pin, self.kek = str(secrets.randbelow(9 * 10**11) + 10**11), b""
        share = split_secret(mnemonic_to_entropy(mnemonic), [ShareGroup(2, 3)], group_threshold=1)[0]
        self.texts = {
            "mnemonic": mnemonic.reveal(),
            "mnemonic-wrong": " ".join([*mnemonic.reveal().split()[:-1], "zoo"]),
            "key": key.hex(),
            "key-wrong": key.hex() + "zz",
            "key-short": key.hex()[:-2],
            "password": password,
            "password-wrong": password[::-1],
            "pin": self.pin,
            "pin-wrong": self.pin[::-1],
            **{f"share-{number}": one.reveal() for number, one in enumerate(share)},
            "share-wrong": " ".join([*share[2].reveal().split()[:-1], "academic"]),
        }
        for name, text in self.texts.items():
            (self.home / name).write_text(text + "\n")
        self.forms: dict[str, set[bytes]] = {
            "mnemonic": forms_of_words(mnemonic.reveal()) | forms_of_bytes(mnemonic_to_entropy(mnemonic)),
            "phrase's key": forms_of_bytes(HdWallet(mnemonic).signer(0).reveal_private_key()),
            "key": forms_of_bytes(key) | forms_of_text(key.hex()),
            "password": forms_of_text(password) | forms_of_text(password[::-1]),
            "pin": forms_of_text(self.pin) | forms_of_text(self.pin[::-1]),
            "share": set().union(*(forms_of_words(one.reveal()) for one in share)),
        }

    @property
    def planted(self) -> Planted:
        return Planted(self.forms)

    def file(self, name: str) -> str:
        return f"file:{self.home / name}"

    def run(self, *arguments: str, fails: bool = False) -> None:
        """Run a command with tracebacks on; its output joins the scene."""
        with (self.scene / "commands.log").open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "cli", "--debug", *arguments], stdout=log, stderr=log, check=False, timeout=60
            )
        assert (done.returncode != 0) == fails, (self.scene / "commands.log").read_text()[-2000:]

    def crash(self, number: int, how: signal.Signals) -> None:
        """End a process as a fault would, and wait until the kernel has written what it writes."""
        os.kill(number, how)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(number, 0)

    def core_files(self) -> list[Path]:
        return [path for path in self.scene.rglob("*") if path.name == "core" or path.name.startswith("core.")]


@pytest.fixture
def crime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crime]:
    crime = Crime(tmp_path)
    monkeypatch.chdir(crime.scene)
    monkeypatch.setenv("TMPDIR", str(crime.scene / "tmp"))
    before = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(ValueError, OSError):  # an ordinary user cannot raise a limit that was lowered
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    yield crime
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_the_search_finds_what_an_unhardened_process_leaves_behind(crime: Crime) -> None:
    secret = crime.texts["key"]
    source = "import os, sys; text = open(sys.argv[1]).read(); raw = bytes.fromhex(text); os.abort()"
    subprocess.run([sys.executable, "-c", source, str(crime.home / "key")], check=False, stderr=subprocess.DEVNULL)
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if not crime.core_files():
        pytest.skip(f"this machine writes no core files for us (core_pattern {pattern!r})")
    assert "key in " + crime.core_files()[0].name in crime.planted.search(files(crime.scene))
    for form in (secret, secret.upper(), crime.pin, crime.texts["password"], json.dumps(crime.texts["password"])):
        (crime.scene / "leak").write_text(f"reason: {form}!")
        assert any(found.endswith("in leak") for found in crime.planted.search(files(crime.scene))), form
    import base64

    for before in (b"", b"x", b"xy"):
        (crime.scene / "leak").write_bytes(base64.b64encode(before + bytes.fromhex(secret) + b"more"))
        assert "key in leak" in crime.planted.search(files(crime.scene))
    (crime.scene / "leak").write_text(json.dumps(crime.texts["mnemonic"].split()))
    assert "mnemonic in leak" in crime.planted.search(files(crime.scene))
    process = spawn(["sleep", "60"], environment={"PIN": crime.pin})
    try:
        assert crime.planted.search(processes([process.pid])) == [f"pin in /proc/{process.pid}/environ"]
    finally:
        process.kill()
        process.wait()


def test_commands_that_succeed_and_fail_show_no_secret(crime: Crime) -> None:
    password = ("--password-ref", crime.file("password"))
    for out, source in (("a.json", ("--mnemonic-ref", "mnemonic")), ("b.json", ("--private-key-ref", "key"))):
        crime.run("wallets", "import", "--out", out, *password, source[0], crime.file(source[1]), "--json")
    wrong = ("--password-ref", crime.file("password-wrong"))
    crime.run("wallets", "show", "a.json", *wrong, fails=True)
    for option, name in (("--mnemonic-ref", "mnemonic-wrong"), ("--private-key-ref", "key-wrong")):
        crime.run("wallets", "import", "--out", "c.json", *password, option, crime.file(name), fails=True)
    crime.run(
        "wallets", "import", "--out", "c.json", *password, "--private-key-ref", crime.file("key-short"), fails=True
    )
    crime.run("wallets", "derive", "--mnemonic-ref", crime.file("mnemonic-wrong"), fails=True)
    shares = [crime.file(f"share-{number}") for number in (0, 1)]
    combine = ("wallets", "backup", "combine", "--kind", "phrase")
    crime.run(*combine, "--share-ref", shares[0], "--share-ref", shares[1], "--json")
    for given in ([shares[0]], [*shares, crime.file("share-wrong")], [shares[0], crime.file("mnemonic")]):
        crime.run(*combine, *(item for one in given for item in ("--share-ref", one)), fails=True)
    assert crime.planted.search(files(crime.scene)) == []
    assert crime.core_files() == []
    assert (crime.scene / "commands.log").read_text().count("Traceback") >= 6


async def test_a_signer_with_a_keystore_and_a_token_shows_no_secret_while_it_runs_and_when_it_crashes(
    crime: Crime, monkeypatch: pytest.MonkeyPatch
) -> None:
    softhsm_module()
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    tokens = SoftTokens(crime.scene)
    tokens.create("desk", pin=Secret(crime.pin))
    with HsmToken(tokens.module, "desk", Secret(crime.pin)) as token:
        token.create_key("hot", is_test_key=True)
    crime.run(
        *("wallets", "import", "--out", "key.json", "--password-ref", crime.file("password")),
        *("--mnemonic-ref", crime.file("mnemonic"), "--test-key"),
    )
    Path("capstan.toml").write_text(SETTINGS)
    port = free_port()
    hsm = ("--hsm-module", tokens.module, "--hsm-token", "desk", "--hsm-key", "hot", "--hsm-workers", "2")
    command = [sys.executable, "-m", "cli", "--debug", "signer", "serve", "--json", "--socket", "s.sock"]
    crime.run(
        *command[4:],
        *("--journal", "x.db", *hsm, "--pin-ref", crime.file("pin-wrong"), "--config", "capstan.toml"),
        fails=True,
    )
    process = spawn(
        [
            *(*command, "--keystore", "key.json", "--password-ref", "env:KEYSTORE_PASSWORD", *hsm),
            *("--pin-ref", "env:HSM_PIN", "--config", "capstan.toml", "--dev-http", str(port), "--network", "devnet"),
        ],
        log=crime.scene / "signer.log",
        stdout=subprocess.PIPE,
        environment={"KEYSTORE_PASSWORD": crime.texts["password"], "HSM_PIN": crime.pin},
    )
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, (crime.scene / "signer.log").read_text()
    for account in json.loads(line)["addresses"]:
        client = SignerClient(Path("s.sock"), account)
        await client.sign_transaction(TX, network=DEVNET)
        for bad in (
            client.sign_transaction(TX, network=Network.LIVE),
            client.sign_transaction(TransactionToSign(**{**fields(TX), "value_wei": 10**6}), network=DEVNET),
            client.sign_message(MessageToSign(b"hello"), network=DEVNET),
        ):
            with pytest.raises(PlatformError):
                await bad
    for garbage in (
        b"\xff\xfe\n",
        b"[" * 10_000 + b"\n",
        b'{"method":1}\n',
        b"x" * 400_000,
        b'{"method":"sign_transaction"}\n',
    ):
        await asyncio.to_thread(send, "s.sock", garbage)
    async with aiohttp.ClientSession() as session:
        for body in (
            "",
            "[]",
            '{"method":"eth_sendTransaction","params":[{}]}',
            '{"method":"eth_sign","params":["0x","0x"]}',
        ):
            async with session.post(
                f"http://127.0.0.1:{port}/", data=body, headers={"Content-Type": "application/json"}
            ) as answer:
                await answer.read()
    workers = sorted(family({process.pid}) - {process.pid})
    assert len(workers) == 2
    assert crime.planted.search(processes([process.pid])) == []
    for number in (process.pid, *workers):
        limits = Path(f"/proc/{number}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        check_swap(number)
    crime.crash(workers[0], signal.SIGSEGV)
    client = SignerClient(Path("s.sock"), json.loads(line)["addresses"][0])
    await client.sign_transaction(TX, network=DEVNET)
    crime.crash(workers[1], signal.SIGABRT)
    crime.crash(process.pid, signal.SIGABRT)
    assert crime.core_files() == []
    assert crime.planted.search(files(crime.scene)) == []
    assert (crime.scene / "signer.log").stat().st_size > 1000


async def test_cosigners_show_no_key_of_theirs_while_they_run_and_when_they_crash(crime: Crime) -> None:
    root = crime.scene / "committee"
    init_committee(root, threshold=2, endpoints=[("127.0.0.1", port) for port in (7101, 7102, 7103)], is_test=True)
    keks = [root / f"party-{party}" / "kek" for party in (1, 2, 3)]
    for kek in keks:
        raw = bytes.fromhex(kek.read_text().strip())
        crime.forms[f"kek of {kek.parent.name}"] = forms_of_bytes(raw) | forms_of_text(raw.hex())
    running = Processes(root, POLICY.format(recipient=TX.to))
    links = running.links()
    address = await generate_wallet(links, "treasury", threshold=2)
    signer = await MpcSigner.connect(links, running.committee, wallet="treasury", address=address)
    await signer.sign_transaction(TX, network=DEVNET)
    with pytest.raises(PlatformError):
        await signer.sign_message(MessageToSign(b"hello"), network=DEVNET)
    await wrong_questions(links)
    numbers = {party: process.pid for party, process in running._running.items()}
    assert crime.planted.search(processes(numbers.values())) == []
    for link in links:
        await link.close()
    for party, how in ((1, signal.SIGSEGV), (2, signal.SIGABRT), (3, signal.SIGBUS)):
        check_swap(numbers[party])
        crime.crash(numbers[party], how)
    assert crime.core_files() == []
    tls = [root / f"party-{party}" / "tls.key" for party in (1, 2, 3)]
    assert crime.planted.search(files(crime.scene, without=[*keks, *tls])) == []


async def wrong_questions(links: list[PartyLink]) -> None:
    """Ask what makes a party refuse, misread or abort."""
    questions: list[tuple[str, dict[str, Any]]] = [
        ("nothing", {}),
        ("sign", {"wallet": "treasury"}),
        ("step", {"session": "00" * 32, "inbound": []}),
        ("step", {"session": "zz", "inbound": [["x", 1]]}),
        ("generate", {"wallet": "treasury", "threshold": 2, "attempt": "00"}),
    ]
    for method, asked in questions:
        with pytest.raises(PlatformError):
            await links[0].ask(method, asked)


_HOLDER = """
import ctypes, os
from capstan_native import SigningKey
raw = os.read(0, 32)
key = SigningKey(raw)
ctypes.memset(id(raw) + bytes.__basicsize__ - 1, 0, 32)  # the interpreter's own copy, which nobody wipes otherwise
key.sign_digest_unchecked(bytes(range(32)))
key.sign_transaction(2, 1, b"\\x01")
os.write(1, b"h"); os.read(0, 1)
del key
os.write(1, b"d"); os.read(0, 1)
"""


def test_a_key_held_in_rust_is_gone_from_memory_when_it_is_dropped() -> None:
    secret = secrets.token_bytes(32)
    with subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        counts = []
        for sent in (secret, b"x"):
            os.write(holder.stdin.fileno(), sent)
            os.read(holder.stdout.fileno(), 1)
            counts.append(copies_in_memory(holder.pid, secret))
        os.write(holder.stdin.fileno(), b"x")
    assert counts[0] >= 1  # the search works
    assert counts[1] == 0


def copies_in_memory(number: int, secret: bytes) -> int:
    """Count a secret in all memory that another process has."""
    found = 0
    try:
        memory = Path(f"/proc/{number}/mem").open("rb", buffering=0)  # noqa: SIM115
    except PermissionError:
        pytest.skip("this user may not look into another process's memory")
    with memory:
        for line in Path(f"/proc/{number}/maps").read_text().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            with contextlib.suppress(OSError, ValueError, OverflowError):  # what the kernel keeps for itself
                memory.seek(start)
                found += memory.read(end - start).count(secret)
    return found


def check_swap(number: int) -> None:
    """Nothing of a process is in swap, and where swap exists its pages are locked."""
    status = Path(f"/proc/{number}/status").read_text()
    sizes = {line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
    assert sizes["VmSwap:"] == 0
    if os.geteuid() == 0:
        assert sizes["VmLck:"] > 0


def test_swap_holds_no_secret() -> None:
    areas = Path("/proc/swaps").read_text().splitlines()[1:]
    if not areas:
        pytest.skip("this machine has no swap; that pages are locked is checked with the processes above")
    assert os.geteuid() == 0, "swap is there, and this user cannot lock pages: run the signer with CAP_IPC_LOCK"


def fields(tx: TransactionToSign) -> dict[str, Any]:
    return {name: getattr(tx, name) for name in tx.__slots__}


def send(path: str, content: bytes) -> None:
    """Say something to the signer's socket, and take whatever comes back."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(2)
        connection.connect(path)
        connection.sendall(content)
        connection.recv(4096)
