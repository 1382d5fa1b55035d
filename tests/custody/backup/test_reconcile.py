"""After an old backup is put back: nothing is paid twice, no nonce is signed twice, nothing that left is overlooked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain import ChainClient
from chain.devnet import TEST_MNEMONIC, Devnet
from custody import DeskOptions
from custody.audit import AuditLog
from custody.backup import (
    Zone,
    adopt,
    create_archive,
    first_unknown_nonce,
    generate_identity,
    look_at_chain,
    open_journals,
    restore_archive,
    signer_text,
    skip_to,
)
from custody.backup.reconcile import Seen
from custody.backup.snapshot import files_of
from custody.freeze import Freezes
from custody.transactions.tools import Checkpoint
from custody.withdrawals import State
from domain import InvariantError, Refused
from runtime import Secret
from tests.custody.desk import VAULT
from tests.custody.withdrawals.house import CHAIN, COIN, RECIPIENT, House, ask, house_of, opened
from tests.custody.withdrawals.test_desk import finalized, until
from wallets import HdWallet, Network, SigningJournal, mark_restored

pytestmark = pytest.mark.anvil
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01")
IDENTITY, RECIPIENT_KEY = generate_identity()


@pytest.fixture
async def funded(devnet: Devnet) -> Devnet:
    await devnet.fund(VAULT, tokens={"USDC": 10**12})
    return devnet


def back_up(folder: Path, archive: Path) -> None:
    """An archive of a house as it is now, books and journal together."""
    create_archive(
        archive,
        zone=Zone.INSTALLATION,
        name="house",
        root=folder,
        files=files_of(folder),
        lock=RECIPIENT_KEY,
        signing_key=SIGNING,
        now_ns=time.time_ns(),
    )


def put_back(archive: Path, into: Path) -> None:
    restore_archive(
        archive,
        into,
        IDENTITY,
        is_passphrase=False,
        signer=signer_text(SIGNING.public_key()),
        now_ns=time.time_ns(),
    )


async def reconcile(
    house: House, folder: Path, client: ChainClient, *, margin: int = 0
) -> tuple[dict[str, str], tuple[Seen, ...]]:
    """What `capstan backup reconcile` does."""
    first = first_unknown_nonce(house.database, CHAIN, VAULT)
    chain_nonce, seen = await look_at_chain(client, VAULT, first)
    adopted, unknown = adopt(house.database, house.ledger, CHAIN, VAULT, seen, time.time_ns)
    floors = open_journals(
        [folder / "journal.db"], VAULT, CHAIN, chain_nonce=chain_nonce, seen=seen, margin=margin, now_ns=time.time_ns
    )
    skip_to(house.database, house.ledger, CHAIN, VAULT, max(floors.values()), time.time_ns)
    return adopted, unknown


def lift(house: House) -> None:
    """Two people have looked."""
    freezes = Freezes(house.database, AuditLog(house.database, time.time_ns), time.time_ns)
    for freeze in freezes.standing():
        assert freeze.source == "restore"
        for operator in ("olga", "otto"):
            freezes.lift(freeze.id, operator=operator, reason="reconciled")


async def recorded_only(devnet: Devnet, client: ChainClient, folder: Path) -> tuple[House, str]:
    """A house whose withdrawal is recorded, and that is stopped before anything is signed."""
    folder.mkdir()
    house = house_of(devnet.world, client, folder)
    await house.desk.open_ledger()
    house.grant(COIN, 5 * COIN.unit)
    await house.withdrawals.start()  # the desk that signs does not run
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    await house.withdrawals.wait_for(asked.id, [State.SCREENED], timeout_s=90)
    await house.withdrawals.stop()
    return house, asked.id


async def test_a_withdrawal_paid_after_the_backup_is_not_paid_again_and_what_is_unknown_is_told(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    before = await chain_client.balance(RECIPIENT)
    house, known = await recorded_only(funded, chain_client, tmp_path / "first")
    back_up(tmp_path / "first", tmp_path / "old.cbk")
    house.database.dispose()

    # Life goes on: it is paid, and so is another one, of which the backup knows nothing.
    lively = house_of(funded.world, chain_client, tmp_path / "first")
    await lively.start()
    await finalized(lively, funded, known)
    forgotten = await lively.withdrawals.request(ask(COIN, 2 * 10**18, key="forgotten"))
    await finalized(lively, funded, forgotten.id)
    await lively.stop()
    assert await chain_client.nonce(VAULT) == 2

    put_back(tmp_path / "old.cbk", tmp_path / "second")
    again = house_of(funded.world, chain_client, tmp_path / "second")
    adopted, unknown = await reconcile(again, tmp_path / "second", chain_client)
    assert list(adopted) == [known]
    assert [(each.tx.nonce, each.tx.value_wei) for each in unknown] == [(1, 2 * 10**18)]
    lift(again)
    await again.start()
    await finalized(again, funded, known)
    third = await again.withdrawals.request(ask(COIN, 10**18, key="third"))
    await finalized(again, funded, third.id)
    await again.stop()
    assert await chain_client.nonce(VAULT) == 3
    assert await chain_client.balance(RECIPIENT) == before + 4 * 10**18
    assert again.owed(COIN) == 3 * 10**18  # one of five is paid, and the third; the forgotten one waits for a person
    assert again.ledger.verify().is_sound
    # Books and chain differ by just what is unknown, and its gas.
    differences = await again.desk.differences()
    assert set(differences) == {COIN.id}
    booked, observed = differences[COIN.id]
    assert 0 < booked - observed - 2 * 10**18 < 10**16


async def test_before_it_is_reconciled_a_restored_house_signs_nothing_and_decides_nothing(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house, known = await recorded_only(funded, chain_client, tmp_path / "first")
    back_up(tmp_path / "first", tmp_path / "old.cbk")
    house.database.dispose()
    put_back(tmp_path / "old.cbk", tmp_path / "second")
    again = house_of(funded.world, chain_client, tmp_path / "second")
    lift(again)  # somebody was in a hurry
    await again.start()
    await until(lambda: again.desk.signer.asked > 0)
    await again.stop()
    found = again.store.find(known)
    assert not found.state.has_ended  # not refused: its funds stay held
    assert again.owed(COIN) == 4 * 10**18
    assert await chain_client.nonce(VAULT) == 0

    await reconcile(again, tmp_path / "second", chain_client)
    last = house_of(funded.world, chain_client, tmp_path / "second")
    await last.start()
    await finalized(last, funded, known)
    await last.stop()
    assert await chain_client.nonce(VAULT) == 1


@pytest.mark.parametrize("edge", ["reserve.after", "sign.after", "store.after", "sent.after"])
async def test_a_backup_from_the_middle_of_signing_is_brought_to_the_chains_state(
    edge: str, funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    before = await chain_client.balance(RECIPIENT)
    house, known = await recorded_only(funded, chain_client, tmp_path / "first")
    house.database.dispose()
    stopped = house_of(funded.world, chain_client, tmp_path / "first", desk_checkpoint=stop_at(edge))
    await stopped.start()
    task = stopped.desk.custody._task
    assert task is not None
    await until(task.done)
    with pytest.raises(InvariantError, match="killed"):
        await stopped.stop()
    stopped.database.dispose()
    back_up(tmp_path / "first", tmp_path / "old.cbk")
    lively = house_of(funded.world, chain_client, tmp_path / "first")
    await lively.start()
    await finalized(lively, funded, known)
    await lively.stop()

    put_back(tmp_path / "old.cbk", tmp_path / "second")
    again = house_of(funded.world, chain_client, tmp_path / "second")
    _, unknown = await reconcile(again, tmp_path / "second", chain_client)
    assert not unknown
    lift(again)
    await again.start()
    await finalized(again, funded, known)
    await again.stop()
    assert await chain_client.nonce(VAULT) == 1
    assert await chain_client.balance(RECIPIENT) == before + 10**18
    assert await again.desk.differences() == {}


async def test_a_margin_is_given_up_and_the_gap_is_closed_with_nothing(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    before = await chain_client.balance(RECIPIENT)
    house, known = await recorded_only(funded, chain_client, tmp_path / "first")
    back_up(tmp_path / "first", tmp_path / "old.cbk")
    house.database.dispose()
    put_back(tmp_path / "old.cbk", tmp_path / "second")
    options = DeskOptions(poll_s=0.005, settled_poll_s=0.05, gap_s=0.1)
    again = house_of(funded.world, chain_client, tmp_path / "second", options=options)
    await reconcile(again, tmp_path / "second", chain_client, margin=2)
    lift(again)
    await again.start()
    async with asyncio.timeout(45):
        while await chain_client.nonce(VAULT) < 3:  # noqa: ASYNC110 - what is waited for happens on the chain
            await asyncio.sleep(0.02)
    await finalized(again, funded, known)
    await again.stop()
    assert await chain_client.nonce(VAULT) == 3  # two of nothing, then the withdrawal
    assert await chain_client.balance(RECIPIENT) == before + 10**18
    assert await again.desk.differences() == {}


async def test_a_journal_that_contradicts_the_chain_stays_closed(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    """The key was used elsewhere for a nonce this journal has signed: nobody may go on before that is understood."""
    house = await opened(funded, chain_client, tmp_path)
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    await finalized(house, funded, asked.id)
    await house.stop()
    _, seen = await look_at_chain(chain_client, VAULT, 0)
    other = replace(seen[0].tx, value_wei=5)
    signed = await HdWallet(Secret(TEST_MNEMONIC)).signer(5).sign_transaction(other, network=Network.DEVNET)
    mark_restored(tmp_path / "journal.db", backup_ns=1, now_ns=2)
    with SigningJournal(tmp_path / "journal.db", now_ns=time.time_ns) as journal, pytest.raises(Refused) as refused:
        journal.reconcile(VAULT, CHAIN, chain_nonce=1, in_flight=[signed.raw], margin=0)
    assert refused.value.rule == "sign-once"


def stop_at(edge: str) -> Checkpoint:
    def stop(at: str) -> None:
        if at == edge:
            raise InvariantError("killed")

    return stop
