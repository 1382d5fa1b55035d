"""Addresses are given out once, without gaps, and equal what the chain and the oracle compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from bip_utils import Bip39SeedGenerator, Bip44, Bip44Changes, Bip44Coins

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from custody.deposits.addresses import AddressBook, DepositAddresses
from custody.deposits.contracts import forwarder_address, user_id
from domain import ChainId, InputError
from runtime.database import Database
from tests.custody.deposits.lab import extended_key
from wallets.watch import WatchOnlyAccount

CHAIN = ChainId(1337)
FACTORY, OTHER = TEST_ADDRESSES[:2]


def service(database: Database, *, factory: str | None = FACTORY, key: str = "") -> DepositAddresses:
    return DepositAddresses(
        database,
        chain_id=CHAIN,
        factory=factory,  # type: ignore[arg-type]
        keys=WatchOnlyAccount(key) if key else None,
        now_ns=lambda: 7,
    )


def test_a_user_keeps_the_address_and_others_get_others(database: Database) -> None:
    given = service(database)
    first = given.assign("alice")
    assert given.assign("alice") == first
    assert first.address == forwarder_address(FACTORY, user_id("alice/"))
    assert (first.network, first.kind, first.number) == ("eip155:1337", "forwarder", 0)
    more = [given.assign("bob"), given.assign("alice", label="savings")]
    assert [address.number for address in more] == [1, 2]
    assert len({first.address, *(address.address for address in more)}) == 3
    assert given.of_user("alice") == [first, more[1]]
    assert given.find(more[0].address) == more[0]
    assert given.find(OTHER) is None


def test_key_addresses_are_the_accounts_in_order(database: Database) -> None:
    given = service(database, key=extended_key())
    account = Bip44.FromSeed(Bip39SeedGenerator(TEST_MNEMONIC).Generate(), Bip44Coins.ETHEREUM)
    branch = account.Purpose().Coin().Account(1).Change(Bip44Changes.CHAIN_EXT)
    for n in range(5):
        found = given.assign(f"u{n}", "key")
        assert found.address == branch.AddressIndex(n).PublicKey().ToAddress()
        assert found.number == n


def test_many_at_once_leave_no_gap_and_share_no_address(database: Database) -> None:
    given = service(database, key=extended_key())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: given.assign(f"u{n % 20}", "key"), range(60)))
    assert {address.user: address for address in found} == {a.user: a for a in found}
    assert sorted({address.number for address in found}) == list(range(20))
    assert len({address.address for address in found}) == 20


def test_an_address_of_a_former_factory_is_not_replaced_silently(database: Database) -> None:
    service(database).assign("alice")
    with pytest.raises(InputError, match="settings say"):
        service(database, factory=OTHER).assign("alice")


@pytest.mark.parametrize("user", ["", "a/b", "ü", "a" * 81, "a b"])
def test_names_that_cannot_stand_in_the_books_are_refused(database: Database, user: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        service(database).assign(user)


def test_what_is_not_configured_is_not_given_out(database: Database) -> None:
    with pytest.raises(InputError, match="kind key"):
        service(database).assign("alice", "key")
    with pytest.raises(InputError, match="kind forwarder"):
        service(database, factory=None).assign("alice")


def test_the_book_learns_what_was_given_out_since(database: Database) -> None:
    given, book = service(database), AddressBook(database, CHAIN)
    book.refresh()
    assert book.users == {}
    alice = given.assign("alice").address
    book.refresh()
    bob = given.assign("bob").address
    book.refresh()
    assert book.users == {alice: "alice", bob: "bob"}
    assert book.forwarders == {alice, bob}
