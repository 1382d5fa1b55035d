"""An installation with custody as the API sees it: books, a counter without a key, two organisations, approvers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.auth.principal import Principal
from api.auth.tables import OrganisationRow, UserRow
from api.portfolios.directory import create
from api.services import Services
from api.webhooks.events import tell_approval, tell_deposit, tell_withdrawal
from chain.devnet import TEST_ADDRESSES
from compliance import DenyListScreener
from custody import Ledger
from custody.approvals import Approval, DatabaseApprovals, Verdict, approve
from custody.audit import AuditLog
from custody.counter import Counter, Vault
from custody.deposits.addresses import DepositAddresses
from custody.deposits.settings import DepositSettings
from custody.deposits.store import DepositStore
from custody.freeze import Freezes
from custody.ledger import Entry, Posting, user_account
from custody.policy import rulebook_of
from custody.transactions.wishing import WishingDesk
from custody.withdrawals import AddressBook, WithdrawalDesk, WithdrawalStore
from custody.withdrawals.assets import AssetNames
from domain import ChainId, native_asset, token_asset
from runtime.database import Database
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application
from tests.support.approvers import Bundle, decision, intent, key_of, need

CHAIN = ChainId(1337)
COIN = native_asset(CHAIN)
USDC = token_asset(CHAIN, TEST_ADDRESSES[3], "USDC", 6)
VAULT, RECIPIENT = TEST_ADDRESSES[5], TEST_ADDRESSES[8]
TENANT = replace(ANYBODY, organisation="org_tenant", actor="user:usr_theo", user="usr_theo")
_KEYS = itertools.count()


async def _nothing() -> None:
    return None


def counter(database: Database, now_ns: Any, folder: Path, **fields: Any) -> Counter:
    """Custody's counter over a database, in a process without keys, with the policy's people of `approvers`."""
    ledger, audit, rules = Ledger(database, now_ns), AuditLog(database, now_ns), Bundle()
    (folder / "deny-list.txt").write_text("")
    addresses = AddressBook(database, audit, now_ns)
    desk = WithdrawalDesk(
        database=database, ledger=ledger, audit=audit, screener=DenyListScreener(folder / "deny-list.txt"),
        addresses=addresses, now_ns=now_ns, observe=tell_withdrawal,
        transactions={(CHAIN, "default"): WishingDesk(database, ledger, CHAIN, VAULT, now_ns)},
        fees=lambda request: 7,
    )  # fmt: skip
    given: dict[str, Any] = {
        "database": database, "ledger": ledger, "policy": rules, "signed_policy": None,
        "rulebook": lambda: rulebook_of({"version": 1, "chains": {CHAIN: {}}, "rules": []}),
        "addresses": addresses, "secrets": None,
        "vault": Vault(name="default", chain_id=CHAIN, address=VAULT), "assets": AssetNames((COIN, USDC), {"one": 8}),
        "desk": desk, "store": WithdrawalStore(database, ledger, audit, now_ns, tell_withdrawal),
        "approvals": DatabaseApprovals(database, rules=lambda: rules, now_ns=now_ns, observe=tell_approval),
        "deposits": DepositAddresses(database, chain_id=CHAIN, factory=TEST_ADDRESSES[2], keys=None, now_ns=now_ns),
        "arrivals": DepositStore(
            database, ledger, DepositSettings(chain_id=CHAIN, start_block=1), now_ns, tell_deposit
        ),
        "freezes": Freezes(database, audit, now_ns), "check_deposits": _nothing, "wake": _nothing,
    }  # fmt: skip
    return Counter(**(given | fields))


@dataclass
class House:
    """The application before custody, asked as one caller or another."""

    services: Services
    client: Client
    gate: OpenGate

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: Principal = ANYBODY, key: str = ""
    ) -> tuple[int, Any]:
        """Ask as `who`; effects get a key of their own unless one is given."""
        self.gate.principal = who
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"idempotency-key": key or f"test-key-{next(_KEYS):06}", **(JSON if content else {})}
        answer = await self.client.full(method, f"/v1{path}", content, headers=headers)
        return answer.status, json.loads(answer.body) if answer.body else None

    def owe(self, client: str, asset: Any = COIN, raw: int = 5 * 10**18) -> None:
        """Owe a client something out of what was there before."""
        legs = (Posting(user_account(client), asset.id, -raw), Posting("equity/opening", asset.id, raw))
        self.services.custody.ledger.post(Entry(f"grant/{client}/{asset.symbol}", "grant", legs))

    def owed(self, client: str, part: Any = "available", asset: Any = COIN) -> int:
        return -self.services.custody.ledger.balance(user_account(client, part), asset.id)

    async def tenant_client(self, name: str = "tina", raw: int = 10**18) -> str:
        """A client of the other organisation, who is owed something."""
        status, made = await self.ask("POST", "/clients", {"name": name}, who=TENANT)
        assert status == 201, made
        self.owe(made["id"], raw=raw)
        return str(made["id"])

    async def withdraw(
        self, client: str = "ulla", amount: str = "1.5", *, who: Principal = ANYBODY, key: str = "", **to: Any
    ) -> tuple[int, Any]:
        body = {"client": client, "asset": "ETH", "amount": amount, "to": {"address": RECIPIENT, **to}}
        return await self.ask("POST", "/withdrawals", body, who=who, key=key)

    def asks(self, intent_id: str, *, count: int = 2, **fields: Any) -> None:
        """Custody asks people about an intent, as it does when its policy wants that."""
        rules = self.services.custody.policy
        expires_s = self.services.clock.now_ns() // 10**9 + 3_600
        asked = intent(rules, intent_id=intent_id, expires_s=expires_s, **fields)
        with self.services.database.transaction() as session:
            self.services.custody.approvals.open(session, asked, decision(need(count), bundle=rules))

    def signed(self, intent_id: str, name: str, verdict: Verdict = Verdict.APPROVE) -> dict[str, Any]:
        """What somebody posts who has read it."""
        request = self.services.custody.approvals.find(intent_id)
        given: Approval = approve(key_of(name), request.intent, request.text, verdict)
        return given.to_document()


@contextmanager
def opened(folder: Path, *, url: str = "", **fields: Any) -> Iterator[House]:
    """A house that owes ulla 5 coins, and another organisation beside it."""

    def made(database: Database, now_ns: Any, where: Path) -> Counter:
        return counter(database, now_ns, where, **fields)

    with api_services(folder, url=url, counter=made) as services:
        with services.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
            create(session, TENANT.organisation, "theirs", 1)
            for who in (ANYBODY, TENANT):
                name, org = str(who.user), who.organisation
                session.add(OrganisationRow(id=org, slug=org[4:], name=org, rate_limit=10**6, created_ns=1))
                session.add(UserRow(id=name, email=f"{name[4:]}@example.com", name=name, created_ns=1))
        gate = OpenGate()
        house = House(services, Client(application(services, gate)), gate)
        house.owe("ulla")
        yield house
