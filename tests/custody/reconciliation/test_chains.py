"""Books against a real chain: what is on its way is understood, what is not accounted for stops everything."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from sqlmodel import Session, col, select

from chain import ChainClient
from custody import freeze
from custody.audit import AuditLog, AuditRow
from custody.freeze import Freezes
from custody.ledger import Entry, Ledger, Posting, postings, vault_account
from custody.reconciliation import ChainPlaces, ChainReconciler, Comparison, Reconciliation, Unbooked
from domain import Address, ChainId, Refused, VenueUnavailable, native_asset
from runtime.database import Database

pytestmark = pytest.mark.anvil

CHAIN = ChainId(1337)
ETH = native_asset(CHAIN).id
RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OWN = Address("0x00000000000000000000000000000000caFe0001")
OUTSIDE = Address("0x00000000000000000000000000000000caFe0002")
ACCOUNT = vault_account(CHAIN, OWN)
ONE = 10**18


class Vault:
    """An address of ours on the devnet, its books, and their comparison."""

    def __init__(self, client: ChainClient, database: Database) -> None:
        self.client = client
        self.database = database
        self.ledger = Ledger(database, time.time_ns)
        self.audit = AuditLog(database, time.time_ns)
        self.freezes = Freezes(database, self.audit, time.time_ns)
        self.surplus: dict[str, int] = {}
        self.unbooked: list[Unbooked] = []

    async def move(self, source: str, target: str, raw: int) -> str:
        """Send coins, for nothing but the amount, and mine them."""
        await self.client.rpc.request("anvil_impersonateAccount", source)
        await self.client.rpc.request("anvil_setNextBlockBaseFeePerGas", "0x0")
        tx = {"from": source, "to": target, "value": hex(raw), "gasPrice": "0x0", "gas": hex(21_000)}
        tx_hash = str(await self.client.rpc.request("eth_sendTransaction", tx))
        await self.client.wait_receipt(tx_hash)
        return tx_hash

    async def finalize(self) -> None:
        await self.client.rpc.request("anvil_mine", hex(70))

    def book(self, key: str, raw: int, tx_hash: str) -> Entry:
        legs = (Posting(ACCOUNT, ETH, raw), Posting("equity/opening", ETH, -raw))
        entry = Entry(key, "test", legs, tx_hash=tx_hash)
        self.ledger.post(entry)
        return entry

    def reconciler(self) -> ChainReconciler:
        def unbooked(session: Session) -> Sequence[Unbooked]:
            return self.unbooked

        return ChainReconciler(self.client, self.database, ChainPlaces((OWN,), {}, self.surplus), unbooked=(unbooked,))

    def reconciliation(self) -> Reconciliation:

        async def no_pause() -> None:
            pass

        chains = (self.reconciler(),)
        return Reconciliation(self.database, self.audit, time.time_ns, chains=chains, pause=no_pause)

    async def look(self) -> Comparison:
        report = await self.reconciliation().reconcile()
        assert not report.unread
        (found,) = [item for item in report.comparisons if item.account == ACCOUNT]
        return found

    def is_frozen(self) -> bool:
        with self.database.snapshot() as session:
            try:
                freeze.check(session, freeze.chain_scope(CHAIN))
            except Refused:
                return True
        return False


@pytest.fixture
async def vault(chain_client: ChainClient, database: Database) -> Vault:
    vault = Vault(chain_client, database)
    tx_hash = await vault.move(RICH, OWN, 5 * ONE)
    vault.book("in", 5 * ONE, tx_hash)
    await vault.finalize()
    return vault


async def test_books_that_fit_are_clean_and_what_leaves_is_explained_until_it_is_final(vault: Vault) -> None:
    assert (await vault.look()).found_raw == 5 * ONE
    tx_hash = await vault.move(OWN, OUTSIDE, ONE)
    vault.book("out", -ONE, tx_hash)
    found = await vault.look()
    assert (found.booked_raw, found.found_raw, found.unexplained_raw) == (4 * ONE, 5 * ONE, 0)
    assert [item.tx_hash for item in found.explanations] == [tx_hash]
    assert "after the one that was read" in found.explanations[0].reason
    await vault.finalize()
    found = await vault.look()
    assert (found.booked_raw, found.found_raw, found.explanations) == (4 * ONE, 4 * ONE, ())
    assert not vault.is_frozen()


async def test_a_booking_whose_transaction_is_in_no_block_is_explained(vault: Vault) -> None:
    vault.book("gone", 3 * ONE, "0x" + "ab" * 32)
    found = await vault.look()
    assert (found.unexplained_raw, found.explanations[0].reason) == (0, "booked, in no block now")


async def test_what_left_without_being_booked_freezes_the_chain_until_two_people_lift_it(vault: Vault) -> None:
    await vault.move(OWN, OUTSIDE, 1)
    assert not (await vault.look()).is_mismatch  # Not final: the pinned block does not know it.
    await vault.finalize()
    found = await vault.look()
    assert (found.unexplained_raw, found.is_mismatch, vault.is_frozen()) == (-1, True, True)
    await vault.look()
    (standing,) = vault.freezes.standing()  # Found again, frozen once.
    assert standing.source == "reconciliation"
    assert f"{ACCOUNT} differs by -1 of {ETH}" in standing.reason
    with vault.database.snapshot() as session:
        rows = session.exec(select(AuditRow).order_by(col(AuditRow.sequence))).all()
        assert [row.kind for row in rows] == ["freeze.imposed", "reconciliation.mismatch"]
        detail = json.loads(rows[1].detail)
    assert detail["differences"][0]["unexplained"] == "-1"
    assert detail["block"].partition(" ")[2].startswith("0x")
    vault.freezes.lift(standing.id, operator="ann", reason="a test's doing")
    assert vault.is_frozen()
    vault.freezes.lift(standing.id, operator="bob", reason="a test's doing")
    assert not vault.is_frozen()


async def test_a_surplus_is_a_mismatch_beyond_what_is_tolerated(vault: Vault) -> None:
    await vault.move(RICH, OWN, 7)
    await vault.finalize()
    vault.surplus = {ETH: 7}
    found = await vault.look()
    assert (found.unexplained_raw, found.is_mismatch, vault.is_frozen()) == (7, False, False)
    vault.surplus = {ETH: 6}
    assert (await vault.look()).is_mismatch
    assert vault.is_frozen()


async def test_what_the_block_contains_and_is_not_booked_yet_is_explained_once(vault: Vault) -> None:
    tx_hash = await vault.move(OWN, OUTSIDE, ONE)
    await vault.finalize()
    legs = (Posting(ACCOUNT, ETH, -ONE), Posting("inflight/w1", ETH, ONE))
    vault.unbooked = [Unbooked(tx_hash, lambda receipt: [Entry("w1", "test", legs, tx_hash=receipt.tx_hash)])]
    found = await vault.look()
    assert (found.unexplained_raw, [item.raw for item in found.explanations]) == (0, [-ONE])
    vault.unbooked = []
    vault.book("out", -ONE, tx_hash)
    assert (await vault.look()).unexplained_raw == 0


async def test_a_theft_shows_as_insolvency_at_once_and_freezes_everything(vault: Vault) -> None:
    leg = postings.DepositLeg(
        chain_id=CHAIN, tx_hash="0x" + "01" * 32, log_index=-1, user="u1", address=OWN, asset=ETH, raw=4 * ONE
    )
    contra = Entry(
        "client", "test", (Posting(ACCOUNT, ETH, -4 * ONE), Posting("equity/opening", ETH, 4 * ONE)), tx_hash=""
    )
    vault.ledger.post_many([contra, postings.deposit_seen(leg)])  # Four of the five are a client's.
    assert [item.is_solvent for item in await vault.reconciliation().check_solvency()] == [True]
    await vault.move(OWN, OUTSIDE, ONE)
    assert [item.is_solvent for item in await vault.reconciliation().check_solvency()] == [True]  # It was ours.
    await vault.move(OWN, OUTSIDE, 1)
    (short,) = await vault.reconciliation().check_solvency()
    assert (short.held_raw, short.owed_raw, short.is_solvent) == (4 * ONE - 1, 4 * ONE, False)
    assert [found.scope for found in vault.freezes.standing()] == [freeze.ALL]
    assert vault.is_frozen()


async def test_a_chain_that_does_not_answer_is_unread_and_freezes_nothing(vault: Vault) -> None:
    class Silent(ChainClient):
        async def find_block(self, ref: int | str) -> None:
            raise VenueUnavailable("no node answers")

    silent = Silent(["http://127.0.0.1:1"], 1337)
    chains = (ChainReconciler(silent, vault.database, ChainPlaces((OWN,), {}, {})),)
    report = await Reconciliation(vault.database, vault.audit, time.time_ns, chains=chains).reconcile()
    assert (report.unread, report.is_clean, vault.is_frozen()) == (("chain/1337",), False, False)
