"""Tools that know remote signers, unmodified, against `capstan signer serve` before the devnet: cast and web3.py."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3
from web3.exceptions import Web3RPCError
from web3.types import TxParams

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, Devnet
from chain.devnet.node import REPOSITORY
from domain import Address
from runtime import Secret
from runtime.processes import free_port, spawn, terminate
from tests.wallets.hsm.soft_token import PIN, SoftTokens
from tests.wallets.mpc.processes import Processes
from wallets import HdWallet, SignerClient, create_keystore, write_private_file
from wallets.hsm import HsmToken
from wallets.mpc import generate_wallet, init_committee, refresh_wallet

CAST = REPOSITORY / "node_modules/@foundry-rs/cast-linux-amd64/bin/cast"
RECIPIENT = TEST_ADDRESSES[7]
STRANGER = TEST_ADDRESSES[8]
ETHER = 10**18
KEYS = ["hd", "hsm", "mpc"]

pytestmark = [pytest.mark.anvil, pytest.mark.skipif(not CAST.is_file(), reason="cast is not installed: make install")]


class RemoteSigner:
    """A signer process with an HD key (in a keystore), an HSM key and an MPC key, all funded on the devnet."""

    def __init__(self, port: int, hd: str, hsm: str, mpc: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.accounts = {"hd": hd, "hsm": hsm, "mpc": mpc}

    def cast(self, *arguments: str) -> str:
        """Run cast as anyone would; gives its output, raises with its errors."""
        done = subprocess.run(
            [str(CAST), *arguments, "--rpc-url", self.url], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    @property
    def web3(self) -> Web3:
        return Web3(Web3.HTTPProvider(self.url))


def policy(devnet: Devnet, section: str) -> str:
    """A policy that lets ether and USDC go to one recipient."""
    chain_id, usdc = devnet.world.chain_id, devnet.world.tokens["USDC"].address
    return f"""
[{section}]
chain_id = {chain_id}
recipients = ["{RECIPIENT}"]
contracts = [{{ address = "{usdc}", methods = ["transfer"] }}]

[{section}.assets]
"eip155:{chain_id}/slip44:60" = {{ per_transaction_raw = "{ETHER}", per_day_raw = "{5 * ETHER}" }}
"eip155:{chain_id}/erc20:{usdc}" = {{ per_transaction_raw = "1_000_000_000", per_day_raw = "10_000_000_000" }}
"""


def settings(devnet: Devnet) -> str:
    return f"""
[[venues]]
id = "binance"
exchange = "binance"
instruments = ["ETHUSDC"]

[custody]
account = "{TEST_ADDRESSES[3]}"
{policy(devnet, "custody.policy")}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remote")


@pytest.fixture(scope="module")
def committee(folder: Path, devnet_for_session: Devnet) -> Iterator[Processes]:
    """Three cosigners under the same policy, each its own."""
    root = folder / "committee"
    init_committee(root, threshold=2, endpoints=[("127.0.0.1", 7101 + n) for n in range(3)], is_test=True)
    processes = Processes(root, policy(devnet_for_session, "policy"))
    yield processes
    processes.stop()


@pytest.fixture(scope="module")
def mpc(committee: Processes) -> str:
    """The address of their key."""

    async def generate() -> str:
        links = committee.links()
        address = await generate_wallet(links, "treasury", threshold=2)
        for link in links:
            await link.close()
        return address

    return asyncio.run(generate())


@pytest.fixture(scope="module")
def signer(folder: Path, devnet_for_session: Devnet, mpc: str) -> Iterator[RemoteSigner]:
    environment = pytest.MonkeyPatch()
    environment.setenv("SOFTHSM2_CONF", "")
    tokens = SoftTokens(folder)
    tokens.create("desk")
    with HsmToken(tokens.module, "desk", PIN) as token:
        hsm = token.create_key("hot", is_test_key=True).address
    hd = HdWallet(Secret(TEST_MNEMONIC)).signer(3)
    asyncio.run(devnet_for_session.fund(hsm, 10 * ETHER, {"USDC": 10**9}))
    asyncio.run(devnet_for_session.fund(Address(mpc), 10 * ETHER, {"USDC": 10**9}))
    asyncio.run(devnet_for_session.fund(hd.address, 10 * ETHER, {"USDC": 10**9}))
    keystore = create_keystore(hd.reveal_private_key(), Secret("pw"), is_test_key=True, scrypt_n=1 << 10)
    for name, text in (
        ("key.json", keystore),
        ("password", "pw"),
        ("pin", PIN.reveal()),
        ("capstan.toml", settings(devnet_for_session)),
    ):
        write_private_file(folder / name, text)
    port = free_port()
    command = [
        *(sys.executable, "-m", "cli", "signer", "serve", "--json", "--socket", str(folder / "s.sock")),
        *("--keystore", str(folder / "key.json"), "--password-ref", f"file:{folder / 'password'}"),
        *("--hsm-module", tokens.module, "--hsm-token", "desk", "--hsm-key", "hot"),
        *("--pin-ref", f"file:{folder / 'pin'}", "--config", str(folder / "capstan.toml")),
        *("--committee", str(folder / "committee" / "coordinator"), "--mpc-wallet", "treasury"),
        *("--mpc-presign", "2"),
        *("--dev-http", str(port), "--rpc-socket", str(folder / "rpc.sock")),
        *("--upstream", devnet_for_session.world.rpc_url, "--network", "devnet"),
    ]
    process = spawn(command, log=folder / "signer.log", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "signer.log").read_text()
        assert set(json.loads(line)["addresses"]) == {hd.address, hsm, mpc}
        yield RemoteSigner(port, hd.address, hsm, mpc)
        assert terminate(process) == 0
    finally:
        terminate(process)
        environment.undo()


def test_cast_lists_the_accounts(signer: RemoteSigner) -> None:
    assert set(json.loads(signer.cast("rpc", "eth_accounts"))) == set(signer.accounts.values())
    assert signer.cast("chain-id").strip() == "1337"


@pytest.mark.parametrize("key", KEYS)
def test_cast_sends_ether_and_tokens_from_an_unlocked_account(
    signer: RemoteSigner, devnet_for_session: Devnet, key: str
) -> None:
    web3, sender = signer.web3, signer.accounts[key]
    usdc = devnet_for_session.world.tokens["USDC"].address
    before = web3.eth.get_balance(RECIPIENT)  # type: ignore[arg-type]
    unlocked = ("send", "--unlocked", "--from", sender, "--json")
    sent = json.loads(signer.cast(*unlocked, RECIPIENT, "--value", "0.25ether"))
    assert sent["status"] == "0x1"
    assert web3.eth.get_balance(RECIPIENT) - before == ETHER // 4  # type: ignore[arg-type]
    moved = json.loads(signer.cast(*unlocked, usdc, "transfer(address,uint256)", RECIPIENT, "1000000"))
    assert (moved["status"], len(moved["logs"])) == ("0x1", 1)
    legacy = json.loads(signer.cast(*unlocked, RECIPIENT, "--value", "1", "--legacy"))
    assert (legacy["status"], legacy["type"]) == ("0x1", "0x0")


@pytest.mark.parametrize("key", KEYS)
def test_web3_sends_and_signs_as_with_a_node_of_its_own(signer: RemoteSigner, key: str) -> None:
    web3, sender = signer.web3, Web3.to_checksum_address(signer.accounts[key])
    payment: TxParams = {"from": sender, "to": Web3.to_checksum_address(RECIPIENT), "value": Web3.to_wei(1, "gwei")}
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(payment))
    assert (receipt["status"], receipt["from"]) == (1, sender)
    hashes = [web3.eth.send_transaction(payment) for _ in range(3)]
    assert all(web3.eth.wait_for_transaction_receipt(one)["status"] == 1 for one in hashes)
    signed: Any = web3.eth.sign_transaction({**payment, "gas": 21_000})
    assert web3.eth.send_raw_transaction(signed["raw"]) == signed["tx"]["hash"]


@pytest.mark.parametrize("key", KEYS)
def test_what_the_policy_does_not_allow_reaches_no_chain(signer: RemoteSigner, key: str) -> None:
    web3, sender = signer.web3, Web3.to_checksum_address(signer.accounts[key])
    number = web3.eth.get_transaction_count(sender)
    with pytest.raises(RuntimeError, match="neither the sender nor allow-listed"):
        signer.cast("send", "--unlocked", "--from", sender, STRANGER, "--value", "1")
    with pytest.raises(Web3RPCError, match="per transaction"):
        web3.eth.send_transaction(
            {"from": sender, "to": Web3.to_checksum_address(RECIPIENT), "value": Web3.to_wei(2, "ether")}
        )
    with pytest.raises(Web3RPCError, match="any hash"):
        web3.eth.sign(sender, data=b"\x11" * 32)
    with pytest.raises(Web3RPCError, match="signs no personal messages"):
        web3.manager.request_blocking("personal_sign", ["0x68", sender])  # type: ignore[arg-type]
    with pytest.raises(Web3RPCError, match="not offered"):
        web3.manager.request_blocking("anvil_impersonateAccount", [sender])  # type: ignore[arg-type]
    assert web3.eth.get_transaction_count(sender) == number


def test_an_mpc_key_signs_on_without_one_party_and_after_a_refresh(signer: RemoteSigner, committee: Processes) -> None:
    web3, sender = signer.web3, Web3.to_checksum_address(signer.accounts["mpc"])
    payment: TxParams = {"from": sender, "to": Web3.to_checksum_address(RECIPIENT), "value": Web3.to_wei(1, "gwei")}
    for absent in (1, 2, 3):
        committee.kill(absent)
        receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(payment))
        assert (receipt["status"], receipt["from"]) == (1, sender)
        committee.start(absent)

    async def refresh() -> int:
        links = committee.links()
        epoch = await refresh_wallet(links, "treasury", threshold=2)
        for link in links:
            await link.close()
        return epoch

    assert asyncio.run(refresh()) == 2
    assert web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(payment))["status"] == 1


def test_an_mpc_transaction_asked_for_twice_is_the_same_transaction(signer: RemoteSigner) -> None:
    web3, sender = signer.web3, Web3.to_checksum_address(signer.accounts["mpc"])
    number = web3.eth.get_transaction_count(sender)
    payment: TxParams = {"from": sender, "to": Web3.to_checksum_address(RECIPIENT), "value": Web3.to_wei(2, "gwei")}
    whole: TxParams = {**payment, "nonce": number, "gas": 21_000, "maxFeePerGas": Web3.to_wei(30, "gwei")}
    first: Any = web3.eth.sign_transaction(whole)
    again: Any = web3.eth.sign_transaction(whole)
    assert first == again
    with pytest.raises(Web3RPCError, match="already signed with another"):
        web3.eth.sign_transaction({**whole, "value": Web3.to_wei(3, "gwei")})
    assert web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(first["raw"]))["status"] == 1


def test_an_account_of_the_node_itself_is_not_used(signer: RemoteSigner) -> None:
    with pytest.raises(Web3RPCError, match="no key for"):
        signer.web3.eth.send_transaction(
            {"from": Web3.to_checksum_address(TEST_ADDRESSES[0]), "to": Web3.to_checksum_address(RECIPIENT)}
        )


def test_a_frozen_signer_tells_cast_so_and_no_key_signs(signer: RemoteSigner, folder: Path) -> None:
    beside = ("--journal", str(folder / "signer-journal.db"), "--operator", "ann", "--reason", "looked", "--json")
    line = [sys.executable, "-m", "cli", "signer"]
    frozen = asyncio.run(SignerClient(folder / "s.sock", Address("")).freeze("engine", "loss velocity"))
    for sender in signer.accounts.values():
        count = signer.web3.eth.get_transaction_count(Web3.to_checksum_address(sender))
        with pytest.raises(RuntimeError, match="refused: the signer is frozen by engine: loss velocity"):
            signer.cast("send", "--unlocked", "--from", sender, RECIPIENT, "--value", "1")
        assert signer.web3.eth.get_transaction_count(Web3.to_checksum_address(sender)) == count
    subprocess.run([*line, "unfreeze", str(frozen.number), "--yes", *beside], check=True, timeout=60)
    for sender in signer.accounts.values():
        sent = json.loads(signer.cast("send", "--unlocked", "--from", sender, "--json", RECIPIENT, "--value", "1"))
        assert sent["status"] == "0x1"


def test_no_pin_password_or_key_is_in_the_log(signer: RemoteSigner, folder: Path) -> None:
    signer.cast("rpc", "eth_accounts")
    log = (folder / "signer.log").read_text()
    assert "signer.rpc.listening" in log
    key = HdWallet(Secret(TEST_MNEMONIC)).signer(3).reveal_private_key().hex()
    assert key not in log
    assert '"pin"' not in log
