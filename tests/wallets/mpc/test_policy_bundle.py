"""Three cosigner processes that obey a signed policy: a coordinator that skips it, or lies, gets nothing signed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custody.approvals import CanonicalIntent, ChainCall, approve
from custody.policy import Policy, Rulebook, rulebook_of
from custody.policy.source import write_durably
from domain import Address, Refused
from runtime.processes import spawn
from tests.support.approvers import key_of
from tests.support.policies import ADMINS, public, signed
from tests.wallets.mpc.conftest import TX, WALLET
from tests.wallets.mpc.processes import Processes
from wallets import Network, TransactionToSign
from wallets.mpc import MpcSigner

PEOPLE = ("alice", "bob", "carol")


def document(version: int = 1) -> Rulebook:
    """Up to 100 wei to one recipient; above 50 two operators approve."""
    coin = "eip155:1337/slip44:60"
    return rulebook_of(
        {
            "version": version,
            "people": {name: {"keys": [public(name)]} for name in PEOPLE},
            "groups": {"operators": list(PEOPLE)},
            "chains": {1337: {}},
            "rules": [
                {
                    "id": "pay",
                    "effect": "allow",
                    "when": {"kind": "transfer", "recipient": TX.to},
                    "limits": {"amounts": [{"asset": coin, "per_transaction": 100}]},
                },
                {
                    "id": "large",
                    "effect": "require",
                    "group": "operators",
                    "count": 2,
                    "when": {"above": {"asset": coin, "amount": 50}},
                },
            ],
        }
    )


class Bundled(Processes):
    """Parties that were given a bundle and the administrators it needs."""

    def hand_out(self, rulebook: Rulebook) -> None:
        write_durably(self.root / "bundle.json", signed(rulebook, at_s=int(time.time())).to_json())

    def _spawn(self, party: int) -> None:
        if not (self.root / "bundle.json").exists():
            self.hand_out(document())
            names = ", ".join(f"{name}: '{key}'" for name, key in ADMINS.keys.items())
            (self.root / "admins.yaml").write_text(f"threshold: 2\nadmins: {{{names}}}")
        command = [sys.executable, "-m", "cli", "cosigner", "serve", str(self.root / f"party-{party}"), "--json"]
        given = ["--policy-bundle", str(self.root / "bundle.json"), "--policy-admins", str(self.root / "admins.yaml")]
        log = self.root / f"party-{party}.log"
        self._running[party] = spawn([*command, *given], log=log, stdout=subprocess.PIPE)


@pytest.fixture
def processes(ceremony: tuple[Path, Address], tmp_path: Path) -> Iterator[Bundled]:
    running = Bundled(Path(shutil.copytree(ceremony[0], tmp_path / "committee")), "")
    yield running
    running.stop()


def shown(tx: TransactionToSign, sender: Address, *people: str, version: int = 1) -> dict[str, Any]:
    """What a coordinator shows of a transaction that some people approved."""
    policy = Policy(document(version))
    intent = CanonicalIntent(
        intent_id="w-1",
        vault="default",
        initiator="erin",
        subject=ChainCall.of(sender, tx),
        expires_s=int(time.time()) + 600,
        policy_version=policy.version,
        policy_digest=policy.digest,
    )
    text = intent.render(policy.names)
    given = [approve(key_of(name), intent, text).to_document() for name in people]
    return {"intent": intent.to_document(), "text": text, "approvals": given}


async def test_each_party_wants_the_approvals_itself(processes: Bundled, ceremony: tuple[Path, Address]) -> None:
    address, links = ceremony[1], processes.links()
    signer = await MpcSigner.connect(links, processes.committee, wallet=WALLET, address=address)

    async def refusal(tx: TransactionToSign, evidence: Any = None) -> str:
        with pytest.raises(Refused) as error:
            await signer.sign_transaction(tx, network=Network.DEVNET, evidence=evidence)
        return error.value.rule

    small, large = replace(TX, nonce=0, value_wei=10), replace(TX, nonce=1, value_wei=60)
    await signer.sign_transaction(small, network=Network.DEVNET)
    good = shown(large, address, "alice", "bob")
    assert await refusal(large) == "no-approval"
    assert await refusal(large, shown(large, address, "alice", "mallory")) == "approvals-missing"
    assert await refusal(replace(large, value_wei=61), good) == "approval-subject"
    assert await refusal(replace(large, value_wei=101), shown(large, address, *PEOPLE)) == "approval-subject"
    await signer.sign_transaction(large, network=Network.DEVNET, evidence=good)
    assert await refusal(replace(large, nonce=2), good) == "approval-replayed"
    # A policy that is edited voids what was approved; a party that is started with the old file does not go back.
    processes.hand_out(document(2))
    again = replace(large, nonce=3)
    old, new = shown(again, address, "alice", "bob"), shown(again, address, "alice", "bob", version=2)
    assert await refusal(again, old) == "policy-changed"
    for party in (1, 2, 3):
        processes.kill(party)
    processes.hand_out(document(1))
    for party in (1, 2, 3):
        processes.start(party)
    assert await refusal(again, old) == "policy-changed"
    for each in (old, new):
        each["intent"]["intent_id"] = "w-2"
    assert await refusal(again, new) == "approval-text"
    for link in links:
        await link.close()
