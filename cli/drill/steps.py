"""What the drill does, in order. Every step finds out for itself whether it worked, and raises when it did not."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from chain import parse_address
from chain.devnet import DevnetWorld
from cli.drill import papers
from cli.drill.chainwork import RECIPIENT, World
from cli.drill.deposits import DepositDesk
from cli.drill.house import Folders, Processes, capstan, softhsm_module, softhsm_tokens, write_secret
from custody import Ledger, open_books
from custody.deposits.settings import DepositAsset, DepositSettings
from custody.ledger import user_account, vault_account
from domain import Address, Asset, ChainId, InvariantError, VenueUnavailable, token_asset
from runtime import Secret, SystemClock
from runtime.database import Database
from runtime.processes import free_port

USER: Final = "ulla"
CLIENT: Final = "shop"
DEPOSIT: Final = 1_000 * 10**6
FIRST: Final = "250"
SECOND: Final = "125.5"
_WALLET: Final = "treasury"
_HSM_KEY, _HSM_BACKUP = "hot", "backup"
_TOKEN, _SPARE = "desk", "spare"
_WAIT_S: Final = 30.0

Step = tuple[str, Callable[[], dict[str, Any]]]


class Drill:
    """One drill in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(root)
        self.processes = Processes(root / "logs")
        self.house = self.folders.house
        self.committee = self.folders.committee
        self.module = softhsm_module()

    def steps(self) -> list[Step]:
        return [
            ("devnet", self.devnet),
            ("ceremony: root key, shares, transcript", self.ceremony),
            ("HSM key", self.hsm_key),
            ("three cosigners, 2-of-3 MPC key", self.mpc_key),
            ("policy signed by two administrators", self.policy),
            ("installation and its processes", self.installation),
            ("cosigners backed up", self.back_up_cosigners),
            ("deposit credited", self.deposit),
            ("sweep signed by the HSM key", self.sweep),
            ("withdrawal approved by two, signed by MPC", self.withdrawal),
            ("withdrawal final and booked", self.finality),
            ("ledger and audit verified", self.verification),
            ("cosigner destroyed, its share restored", self.lost_cosigner),
            ("whole installation backed up", self.back_up),
            ("everything destroyed", self.destruction),
            ("restored into empty folders", self.restore),
            ("reconciled with the chain, unfrozen by two", self.reconcile),
            ("balances verified in the restored installation", self.balances),
            ("another withdrawal signed there", self.second_withdrawal),
        ]

    # --- what an installation is made of

    def devnet(self) -> dict[str, Any]:
        self.house.mkdir(parents=True)
        book = self.house / "devnet.json"
        self.processes.begin("devnet", "chain", "devnet", "--port", "0", "--addresses", book)
        self._make_committee()  # its processes load while the ceremony goes on
        found = self.processes.ready("devnet")
        self.world = World(DevnetWorld.from_json(book.read_bytes()))
        self.chain_id = ChainId(self.world.book.chain_id)
        self.usdc: Asset = token_asset(self.chain_id, self.world.usdc, "USDC", 6)
        return {"rpc_url": found["rpc_url"]}

    def ceremony(self) -> dict[str, Any]:
        root = self.folders.root
        self.pin, self.officer_pin = secrets.token_hex(4), secrets.token_hex(4)
        write_secret(root / "pin", self.pin)
        softhsm_tokens(self.folders, (_TOKEN, _SPARE), pin=self.pin, officer_pin=self.officer_pin)
        for name in (*papers.CUSTODIANS, papers.WITNESS):
            write_secret(root / f"{name}.pw", secrets.token_urlsafe(18))
            capstan(
                *("wallets", "ceremony", "person", name, "--out", self.folders.people / name),
                *("--password-ref", self.folders.file(f"{name}.pw")),
            )
        plan = root / "ceremony.toml"
        plan.write_text(
            papers.ceremony_plan(self.folders.people, module=self.module, token=_TOKEN, pin=self.folders.file("pin"))
        )
        made = capstan("wallets", "ceremony", "run", plan, "--out", root / "ceremony")
        for name in (*papers.CUSTODIANS, papers.WITNESS):
            capstan(
                *("wallets", "ceremony", "sign", made["transcript"], self.folders.people / name),
                *("--password-ref", self.folders.file(f"{name}.pw")),
            )
        cards = [
            word
            for name in (*papers.CUSTODIANS, papers.WITNESS)
            for word in ("--card", str(self.folders.people / name / "card.json"))
        ]
        checked = capstan("wallets", "ceremony", "verify", made["transcript"], *cards)
        _demand(checked["ok"] and checked["address"] == made["address"], "the transcript does not verify")
        return {"root": made["address"], "custodians": len(checked["custodians"])}

    def hsm_key(self) -> dict[str, Any]:
        from wallets.hsm import create_backup_key

        wrapping = secrets.token_bytes(32)  # it comes from the ceremony, and is kept by no file
        for token in (_TOKEN, _SPARE):
            create_backup_key(self.module, token, Secret(self.officer_pin), label=_HSM_BACKUP, key=wrapping)
        made = capstan(
            *("signer", "hsm", "create-key", _HSM_KEY, "--test-key", "--wrappable"),
            *("--module", self.module, "--token", _TOKEN, "--pin-ref", self.folders.file("pin")),
        )
        self.sweeping = parse_address(made["address"])
        return {"address": self.sweeping, "wrappable": made["wrappable"]}

    def _make_committee(self) -> None:
        ends = [word for _ in range(3) for word in ("--endpoint", f"127.0.0.1:{free_port()}")]
        capstan("cosigner", "init", self.committee, *ends, "--test-keys")
        # The coordinator is the signer's machine: its folder moves there, as each party's would to its own.
        (self.committee / "coordinator").rename(self.house / "coordinator")
        # Each party pins who may change its policy. There is no policy yet: until then they sign nothing.
        listed = "".join(f'  {name}: "{self._key(name)}"\n' for name in papers.ADMINS)
        (self.house / "policy-admins.yaml").write_text(f"threshold: 2\nadmins:\n{listed}")
        self._begin_cosigners(self.committee, self.house)

    def mpc_key(self) -> dict[str, Any]:
        self._cosigners_ready()
        made = capstan("cosigner", "generate", self.house / "coordinator", _WALLET)
        self.vault = parse_address(made["address"])
        return {"address": self.vault}

    def policy(self) -> dict[str, Any]:
        self.world.give_gas(self.vault, self.sweeping)
        contracts = capstan(
            *("custody", "contracts", "deploy", "--deployer", _deployer(), "--vault", self.vault, "--send"),
            *("--rpc-url", self.world.book.rpc_url, "--chain-id", str(self.chain_id)),
        )
        self.contracts = {name: parse_address(contracts[name]) for name in ("factory", "sweeper")}
        approvers = {name: self._key(name) for name in papers.APPROVERS}
        text = papers.policy(
            chain_id=self.chain_id,
            usdc=self.world.usdc,
            vault=self.vault,
            recipient=RECIPIENT,
            sweeper=self.contracts["sweeper"],
            approvers=approvers,
        )
        draft, signed = self.folders.root / "policy.yaml", self.folders.root / "policy-signed.json"
        draft.write_text(text)
        capstan("policy", "lint", draft)
        for name, source in zip(papers.ADMINS, (draft, signed), strict=True):
            capstan("policy", "sign", source, "--key-ref", self.folders.file(f"{name}.key"), "--out", signed, "--yes")
        (self.house / "capstan.toml").write_text(
            papers.settings(
                chain_id=self.chain_id,
                rpc_url=self.world.book.rpc_url,
                vault=self.vault,
                operators=approvers,
            )
        )
        (self.house / "deny-list.txt").write_text("# Nothing is sent to these.\n")
        open_books(Database.at(self.house / "capstan.db")).dispose()
        found = capstan(
            *("policy", "activate", signed, "--admins", self.house / "policy-admins.yaml", "--data-dir", self.house),
            *("--install", self.house / "policy.json", "--yes"),
        )
        return {"version": found["version"], "signed_by": len(papers.ADMINS)}

    def installation(self) -> dict[str, Any]:
        self.deposits = DepositDesk(
            self.house,
            self.world.book.rpc_url,
            DepositSettings(
                chain_id=self.chain_id,
                assets={self.usdc.id: DepositAsset()},
                factory=self.contracts["factory"],
                sweeper=self.contracts["sweeper"],
                vault=self.vault,
                sweeping_account=self.sweeping,
                confirmations=2,
                start_block=0,
                native="transactions",
            ),
        )
        self._begin_signer(self.house, _TOKEN)
        self._begin_withdrawals(self.house)
        self._house_ready()
        return {"processes": len(self.processes.running)}

    # --- deposits and withdrawals

    def deposit(self) -> dict[str, Any]:
        address = self.deposits.address_of(USER)
        self.world.pay_in(address, DEPOSIT)
        self.world.pass_blocks(2)
        self.deposits.scan()
        owed = -self._ledger(self.house).balance(user_account(USER), self.usdc.id)
        _demand(owed == DEPOSIT, f"the user is owed {owed}, {DEPOSIT} were paid in")
        return {"address": address, "raw": str(owed)}

    def sweep(self) -> dict[str, Any]:
        self.world.pass_blocks()
        self.deposits.scan()
        report = self.deposits.sweep(self.sweeping)
        self.world.pass_blocks()
        self.deposits.scan()
        self.deposits.sweep(self.sweeping)  # closes what has become final
        held = self.world.usdc_of(self.vault)
        booked = self._ledger(self.house).balance(vault_account(self.chain_id, self.vault), self.usdc.id)
        _demand(held == booked == DEPOSIT, f"the vault holds {held}, the books say {booked}")
        return {"batches": report.batches, "vault_raw": str(held)}

    def withdrawal(self) -> dict[str, Any]:
        self.before = self.world.usdc_of(RECIPIENT)
        self.first = self._ask_for(self.house, "drill-1", FIRST)
        self._approve(self.house, self.first)
        found = self._wait(self.house, self.first, ("sending", "booked"))
        return {"id": self.first, "state": found["state"]}

    def finality(self) -> dict[str, Any]:
        return self._finish(self.house, self.first, FIRST)

    def verification(self) -> dict[str, Any]:
        return self._verify(self.house)

    # --- the worst day

    def back_up_cosigners(self) -> dict[str, Any]:
        made = capstan("backup", "keygen", "--out", self.folders.root / "backup.identity")
        self.recipient = str(made["recipient"])
        parties = [word for number in (1, 2, 3) for word in ("--party", str(self.committee / f"party-{number}"))]
        found = self._create("before", *parties)
        self.backup_signer = str(found["signer"])
        return {"archives": len(found["archives"]), "signed_by": self.backup_signer[:24]}

    def lost_cosigner(self) -> dict[str, Any]:
        home = self.committee / "party-2"
        self.processes.kill("cosigner-2")
        shutil.rmtree(home)
        self._restore("before/cosigner-2.cbk", home, "--without-shares")
        capstan(
            *("backup", "reconcile", "--journal", home / "journal.db", "--account", self.vault),
            *("--rpc-url", self.world.book.rpc_url, "--chain-id", str(self.chain_id)),
        )
        self._begin_cosigner(self.committee, self.house, 2)
        self.processes.ready("cosigner-2")
        found = capstan("cosigner", "recover", self.house / "coordinator", _WALLET, "2")
        return {"epoch": found["epoch"]}

    def back_up(self) -> dict[str, Any]:
        parties = [word for number in (1, 2, 3) for word in ("--party", str(self.committee / f"party-{number}"))]
        found = self._create(
            "whole",
            *("--data-dir", self.house),
            *("--hsm-module", self.module, "--hsm-token", _TOKEN, "--hsm-key", _HSM_KEY),
            *("--pin-ref", self.folders.file("pin"), "--hsm-backup-key", _HSM_BACKUP),
            *parties,
        )
        for archive in found["archives"]:
            capstan(
                *("backup", "verify", archive["archive"], "--signer", self.backup_signer),
                *("--identity-ref", self.folders.file("backup.identity")),
            )
        return {"archives": len(found["archives"]), "files": sum(a["files"] for a in found["archives"])}

    def destruction(self) -> dict[str, Any]:
        for name in ("withdrawals", "signer", "cosigner-1", "cosigner-2", "cosigner-3"):
            self.processes.kill(name)
        shutil.rmtree(self.house)
        shutil.rmtree(self.committee)
        return {"left": "archives, the backup identity, the spare token, exported checkpoints"}

    def restore(self) -> dict[str, Any]:
        second = self.folders.second
        second.mkdir()
        self._restore("whole/installation.cbk", second / "house")
        self._restore(
            "whole/signer.cbk",
            second / "signer",
            *("--hsm-module", self.module, "--hsm-token", _SPARE),
            *("--pin-ref", self.folders.file("pin"), "--hsm-backup-key", _HSM_BACKUP),
        )
        for number in (1, 2, 3):
            self._restore(f"whole/cosigner-{number}.cbk", second / "committee" / f"party-{number}")
        for path in sorted((second / "signer").glob("signer-journal*")):
            path.rename(second / "house" / path.name)
        return {"folders": 5}

    def reconcile(self) -> dict[str, Any]:
        house, committee = self.folders.second / "house", self.folders.second / "committee"
        journals = [
            word
            for path in (house / "signer-journal.db", *(committee / f"party-{n}" / "journal.db" for n in (1, 2, 3)))
            for word in ("--journal", str(path))
        ]
        found = capstan("backup", "reconcile", "--data-dir", house, *journals[2:])
        capstan(
            *("backup", "reconcile", "--account", self.sweeping, "--journal", house / "signer-journal.db"),
            *("--rpc-url", self.world.book.rpc_url, "--chain-id", str(self.chain_id)),
        )
        _demand(not found["unknown"], "the chain has value that left unknown to the books")
        frozen = capstan("custody", "freezes", "--data-dir", house)
        _demand([freeze["source"] for freeze in frozen] == ["restore"], "a restored installation must be frozen")
        for number, name in enumerate(papers.APPROVERS, start=1):
            lifted = capstan(
                *("custody", "unfreeze", str(frozen[0]["id"]), "--data-dir", house, "--operator", name),
                *("--reason", "reconciled after the restore", "--key-ref", self.folders.file(f"{name}.key")),
            )
            _demand(lifted["stands"] == (number == 1), f"after {number} signatures the freeze stands: {lifted}")
        return {"chain_nonce": found["chain_nonce"], "floors": len(found["floors"]), "lifted_by": len(papers.APPROVERS)}

    def balances(self) -> dict[str, Any]:
        house = self.folders.second / "house"
        found = self._verify(house)
        ledger = self._ledger(house)
        held = self.world.usdc_of(self.vault)
        booked = ledger.balance(vault_account(self.chain_id, self.vault), self.usdc.id)
        owed = -ledger.balance(user_account(USER), self.usdc.id)
        _demand(held == booked, f"the vault holds {held}, the restored books say {booked}")
        _demand(owed == held, f"the user is owed {owed}, the vault holds {held}")
        return {**found, "vault_raw": str(held)}

    def second_withdrawal(self) -> dict[str, Any]:
        house, committee = self.folders.second / "house", self.folders.second / "committee"
        self._begin_cosigners(committee, house)
        self._begin_withdrawals(house)
        self._cosigners_ready()
        self._begin_signer(house, _SPARE)
        self._house_ready()
        self.before = self.world.usdc_of(RECIPIENT)
        second = self._ask_for(house, "drill-2", SECOND)
        self._approve(house, second)
        found = self._finish(house, second, SECOND)
        self._verify(house)
        return found

    # --- the operator's hands

    def _key(self, name: str) -> str:
        """Make somebody's signing key; gives the public half."""
        return str(capstan("approvals", "key", "--out", self.folders.root / f"{name}.key")["key"])

    def _begin_cosigners(self, committee: Path, house: Path) -> None:
        for number in (1, 2, 3):
            self._begin_cosigner(committee, house, number)

    def _cosigners_ready(self) -> None:
        for number in (1, 2, 3):
            self.processes.ready(f"cosigner-{number}")

    def _begin_cosigner(self, committee: Path, house: Path, number: int) -> None:
        self.processes.begin(
            f"cosigner-{number}",
            *("cosigner", "serve", committee / f"party-{number}"),
            *("--policy-bundle", house / "policy.json", "--policy-admins", house / "policy-admins.yaml"),
        )

    def _begin_signer(self, house: Path, token: str) -> None:
        self.processes.begin(
            "signer",
            *("signer", "serve", "--socket", house / "signer.sock", "--journal", house / "signer-journal.db"),
            *("--policy-bundle", house / "policy.json", "--policy-admins", house / "policy-admins.yaml"),
            *("--hsm-module", self.module, "--hsm-token", token, "--hsm-key", _HSM_KEY, "--hsm-workers", "1"),
            *("--pin-ref", self.folders.file("pin")),
            *("--committee", house / "coordinator", "--mpc-wallet", _WALLET),
        )

    def _begin_withdrawals(self, house: Path) -> None:
        self.processes.begin("withdrawals", "withdrawals", "serve", "--data-dir", house)  # waits for the signer

    def _house_ready(self) -> None:
        for name in ("signer", "withdrawals"):
            self.processes.ready(name)

    def _ask_for(self, house: Path, key: str, amount: str) -> str:
        found = capstan(
            *("withdrawals", "request", "--data-dir", house, "--client", CLIENT, "--user", USER, "--key", key),
            *("--asset", "USDC", "--amount", amount, "--to", RECIPIENT),
        )
        return str(found["id"])

    def _approve(self, house: Path, withdrawal: str) -> None:
        """Two people read it and sign; before the second, nothing may have been signed."""
        self._wait(house, withdrawal, ("awaiting-approval",))
        for number, name in enumerate(papers.APPROVERS):
            if number:
                state = self._show(house, withdrawal)["state"]
                _demand(state == "awaiting-approval", f"one approval was enough: it is {state}")
            capstan(
                *("approvals", "approve", withdrawal, "--data-dir", house, "--policy", house / "policy.json"),
                *("--key-ref", self.folders.file(f"{name}.key"), "--yes"),
            )

    def _finish(self, house: Path, withdrawal: str, amount: str) -> dict[str, Any]:
        self._wait(house, withdrawal, ("sending",))
        deadline = time.monotonic() + _WAIT_S
        while (found := self._show(house, withdrawal))["state"] != "booked":
            if time.monotonic() > deadline or found["state"] in ("refused", "failed", "cancelled"):
                raise VenueUnavailable(f"{withdrawal} is {found['state']}: {found['reason']}")
            self.world.pass_blocks(20)
            time.sleep(0.1)
        arrived = self.world.usdc_of(RECIPIENT) - self.before
        wanted = round(float(amount) * 10**6)
        _demand(arrived == wanted, f"{arrived} arrived, {wanted} were asked for")
        return {"tx_hash": found["tx_hash"], "arrived_raw": str(arrived)}

    def _wait(self, house: Path, withdrawal: str, states: tuple[str, ...]) -> dict[str, Any]:
        deadline = time.monotonic() + _WAIT_S
        while (found := self._show(house, withdrawal))["state"] not in states:
            if time.monotonic() > deadline or found["state"] in ("refused", "failed", "cancelled"):
                raise VenueUnavailable(f"{withdrawal} is {found['state']}: {found['reason']}")
            time.sleep(0.03)
        return found

    def _show(self, house: Path, withdrawal: str) -> dict[str, Any]:
        found: dict[str, Any] = capstan("withdrawals", "show", "--data-dir", house, withdrawal)
        return found

    def _verify(self, house: Path) -> dict[str, Any]:
        key = self.folders.root / "audit.key"
        if not key.exists():
            self.audit_key = str(capstan("audit", "create-key", key)["key"])
        exported = self.folders.root / "checkpoints"
        exported.mkdir(exist_ok=True)
        capstan(
            *("audit", "checkpoint", "--data-dir", house, "--key-ref", f"file:{key}", "--directory", exported),
        )
        audit = capstan(*("audit", "verify", "--data-dir", house, "--checkpoints", exported, "--key", self.audit_key))
        ledger = capstan("ledger", "verify", "--data-dir", house)
        _demand(audit["sound"] and ledger["sound"], f"problems: {audit['problems']} {ledger['problems']}")
        _demand(audit["covered"] == audit["records"], "the end of the audit log is under no checkpoint")
        return {"entries": ledger["entries"], "audit_records": audit["records"]}

    def _create(self, name: str, *arguments: str | Path) -> dict[str, Any]:
        found: dict[str, Any] = capstan(
            *("backup", "create", self.folders.backups / name, "--recipient", self.recipient),
            *("--signing-key", self.folders.root / "backup-signing.key", *arguments),
        )
        return found

    def _restore(self, archive: str, into: Path, *arguments: str | Path) -> None:
        capstan(
            *("backup", "restore", self.folders.backups / archive, "--into", into, "--signer", self.backup_signer),
            *("--identity-ref", self.folders.file("backup.identity"), *arguments),
        )

    def _ledger(self, house: Path) -> Ledger:
        return Ledger(open_books(Database.at(house / "capstan.db")), SystemClock().now_ns)

    def describe(self) -> str:
        """Where things are, for whoever keeps them."""
        return json.dumps({"house": str(self.folders.second / "house"), "logs": str(self.processes.logs)})


def _deployer() -> Address:
    from cli.drill.chainwork import DEPLOYER

    return DEPLOYER


def _demand(holds: bool, otherwise: str) -> None:
    """Raise when something does not hold that must."""
    if not holds:
        raise InvariantError(otherwise)
