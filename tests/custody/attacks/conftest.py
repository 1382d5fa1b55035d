"""The three doors, each freshly opened on the same policy."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from custody import PolicyGuard
from custody.approvals import ApprovalUses
from custody.policy import Policy, Rests
from domain import Address
from tests.custody.attacks.town import VAULT, Clock, CosignerDoor, CustodyDoor, SignerDoor, custody_door, policy_for
from tests.wallets.mpc.conftest import WALLET, LocalParty
from wallets.mpc import Cosigner, MpcSigner, generate_wallet, init_committee

COMMITTEE_FILES = ("party-1", "party-2", "party-3")


@pytest.fixture(scope="session")
def committee(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Address]:
    """A committee's folders after key generation, and its address."""
    root = tmp_path_factory.mktemp("attacked") / "committee"
    init_committee(root, threshold=2, endpoints=[("127.0.0.1", port) for port in (7201, 7202, 7203)], is_test=True)
    parties = [LocalParty(root / name) for name in COMMITTEE_FILES]
    address = asyncio.run(generate_wallet(parties, WALLET, threshold=2))
    for party in parties:
        party.stop()
    return root, address


@pytest.fixture(scope="session")
def policy(devnet_for_session: Devnet, committee: tuple[Path, Address]) -> Policy:
    return policy_for(devnet_for_session.world, VAULT, committee[1])


@pytest.fixture
def clock() -> Clock:
    return Clock(int(time.time()))


@pytest.fixture
def signer_door(tmp_path: Path, policy: Policy, clock: Clock) -> Iterator[SignerDoor]:
    door = SignerDoor(tmp_path / "signer", policy, clock)
    yield door
    door.close()


class Party(LocalParty):
    """A party whose guard is custody's policy."""

    def __init__(self, root: Path, policy: Policy, clock: Clock) -> None:
        self._memories = ApprovalUses(root / "uses.db"), Rests(root / "rests.db")
        self._policy_guard = PolicyGuard(policy, uses=self._memories[0], rests=self._memories[1], now_ns=clock.now_ns)
        super().__init__(root)

    def start(self) -> None:
        super().start()
        self.cosigner = Cosigner(self.home, store=self.store, journal=self._journal, guard=self._policy_guard)

    def stop(self) -> None:
        super().stop()
        for memory in self._memories:
            memory.close()


@pytest.fixture
def parties(tmp_path: Path, committee: tuple[Path, Address], policy: Policy, clock: Clock) -> Iterator[list[Party]]:
    root = Path(shutil.copytree(committee[0], tmp_path / "committee"))
    opened = [Party(root / name, policy, clock) for name in COMMITTEE_FILES]
    yield opened
    for party in opened:
        party.stop()


@pytest.fixture
async def cosigner_door(parties: list[Party], committee: tuple[Path, Address]) -> CosignerDoor:
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=committee[1])
    return CosignerDoor(signer, list(parties))


@pytest.fixture
async def door(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path, policy: Policy, signer_door: SignerDoor, clock: Clock
) -> AsyncIterator[CustodyDoor]:
    """Custody in front of the signer, on the devnet, with coins and tokens in the vault."""
    await devnet.fund(VAULT, tokens={"USDC": 10**12, "WETH": 10**20})
    clock.now_s = (await chain_client.head()).time_s
    opened = custody_door(devnet.world, chain_client, tmp_path, policy, signer_door, clock)
    await opened.custody.start(opened.settled.append)
    yield opened
    await opened.custody.stop()
    opened.database.dispose()


@pytest.fixture(params=["signer", "cosigners"])
def guarded(
    request: pytest.FixtureRequest,
) -> SignerDoor | CosignerDoor:
    """Either of the doors behind custody, which a coordinator reaches that skips it."""
    found: SignerDoor | CosignerDoor = request.getfixturevalue(
        "signer_door" if request.param == "signer" else "cosigner_door"
    )
    return found
