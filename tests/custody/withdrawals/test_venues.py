"""Withdrawals by an exchange, against the sandbox with unmodified ccxt: asked for once, whatever is lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cex import CcxtWithdrawals, VenueSettings
from cex.sandbox import AccountSpec, SandboxConfig
from cex.sandbox.capital import FEE_RAW
from chain.devnet import TEST_ADDRESSES
from custody import Ledger, Policy
from custody.approvals import ApprovalState, DatabaseApprovals, approve
from custody.audit import AuditLog
from custody.freeze import Freezes, standing
from custody.ledger import Entry, Posting, user_account
from custody.policy import rulebook_of
from custody.withdrawals import (
    HOUSE,
    AddressBook,
    FileEnvelopes,
    HsmSealer,
    OwnAsset,
    State,
    Step,
    VenueDesk,
    VenueDestination,
    VenueOptions,
    VenueSecrets,
    Withdrawal,
    WithdrawalDesk,
    WithdrawalOptions,
    WithdrawalRequest,
    WithdrawalStore,
)
from domain import InputError, InvariantError, OrderRejected, OutcomeUnknown, VenueId, venue_asset
from domain.withdrawals import VenueWithdrawal, VenueWithdrawalReport, VenueWithdrawalState
from runtime import Secret
from runtime.database import Database
from runtime.secrets import ApiKey
from tests.cex.sandbox.conftest import Sandbox, Start, start
from tests.custody.desk import NoScreening
from tests.databases import books_at
from tests.support.approvers import key_of, key_text
from tests.wallets.hsm.soft_token import PIN, SoftTokens
from wallets.hsm import HsmToken

__all__ = ["start"]  # the fixture

RECIPIENT = TEST_ADDRESSES[8]
TRADER = ApiKey(Secret("carol-key"), Secret("carol-secret"))
KEY = ApiKey(Secret("carol-withdraws"), Secret("carol-withdraw-secret"))
CAROL = AccountSpec(
    "carol",
    TRADER.key.reveal(),
    TRADER.secret.reveal(),
    None,
    {"USDC": "1000"},
    KEY.key.reveal(),
    KEY.secret.reveal(),
)
USDC = venue_asset(VenueId("sandbox"), "USDC")
VAULT = TEST_ADDRESSES[5]
OWN = OwnAsset(f"chain/1337/{VAULT}", "eip155:1337/erc20:USDC", 6)
DONE = (State.BOOKED, State.REFUSED, State.CANCELLED, State.FAILED)
FEE = FEE_RAW


def settings_of(sandbox: Sandbox) -> VenueSettings:
    return VenueSettings(id="sandbox", exchange="binance", base_url=sandbox.url, instruments=("ETHUSDC",))


def rules(limit: str = "500", people: int = 0) -> Policy:
    """Carol's withdrawals of up to `limit` a day; with `people`, so many of the treasurers have to approve."""
    whose = {"kind": "exchange-withdrawal", "venue": "sandbox", "asset": "USDC"}
    window = {"window": "24h", "amount": str(int(Decimal(limit).scaleb(8)))}
    document: dict[str, Any] = {
        "version": 1,
        "assets": {"USDC": {"id": USDC.id, "decimals": 8}},
        "chains": {1337: {}},
        "people": {name: {"keys": [key_text(key_of(name).public_key())]} for name in ("alice", "bob")},
        "groups": {"treasurers": ["alice", "bob"]},
        "rules": [
            {
                "id": "withdraw",
                "effect": "allow",
                "when": whose,
                "limits": {"amounts": [{"asset": "USDC", "windows": [window]}]},
            }
        ],
    }
    if people:
        document["rules"].append(
            {"id": "two", "effect": "require", "group": "treasurers", "count": people, "when": whose}
        )
    return Policy(rulebook_of(document))


@dataclass
class Bank:
    """An exchange, the desk that withdraws from it, and its books."""

    sandbox: Sandbox
    desk: WithdrawalDesk
    store: WithdrawalStore
    ledger: Ledger
    database: Database
    secrets: VenueSecrets
    approvals: DatabaseApprovals
    venue: Any

    def owed(self, part: Any = "available") -> int:
        return -self.ledger.balance(user_account("ulla", part), USDC.id)

    async def free(self) -> Decimal:
        """What the exchange says we have there."""
        _, answer = await self.sandbox.call("GET", "/api/v3/account", CAROL)
        return next((Decimal(b["free"]) for b in answer["balances"] if b["asset"] == "USDC"), Decimal(0))

    async def sent(self) -> list[dict[str, Any]]:
        """Every withdrawal the exchange has."""
        withdrawing = replace(CAROL, api_key=KEY.key.reveal(), secret=KEY.secret.reveal())
        status, answer = await self.sandbox.call("GET", "/sapi/v1/capital/withdraw/history", withdrawing)
        assert status == 200, answer
        return list(answer)

    def is_true(self) -> bool:
        """Books balance, and agree with themselves."""
        return self.ledger.verify().is_sound and not any(self.ledger.trial_balance().values())


def ask(raw: int = 100 * USDC.unit, key: str = "k-1", **changes: Any) -> WithdrawalRequest:
    fields: dict[str, Any] = {
        "client": "erin",
        "key": key,
        "user": "ulla",
        "asset": USDC,
        "raw": raw,
        "destination": VenueDestination("sandbox", "ETH", RECIPIENT),
    }
    return WithdrawalRequest(**(fields | changes))


def bank_of(
    sandbox: Sandbox,
    folder: Path,
    *,
    policy: Policy | None = None,
    venue: Any = None,
    now_ns: Callable[[], int] | None = None,
    checkpoint: Callable[[str], None] = lambda _edge: None,
    options: VenueOptions | None = None,
) -> Bank:
    now = now_ns or time.time_ns
    policy = policy or rules()
    database = books_at(folder / "books.db")
    ledger, audit = Ledger(database, now), AuditLog(database, now)
    kek = folder / "kek"
    if not kek.exists():
        kek.write_text("11" * 32)
        kek.chmod(0o600)
    secrets = VenueSecrets(database, FileEnvelopes(kek), audit, now)
    if not secrets.venues():
        secrets.put("sandbox", KEY, by="olga")
        legs = (
            Posting("venue/sandbox", USDC.id, 1000 * USDC.unit),
            Posting("equity/opening", USDC.id, -1000 * USDC.unit),
        )
        owed = (
            Posting("user/ulla/available", USDC.id, -500 * USDC.unit),
            Posting("equity/opening", USDC.id, 500 * USDC.unit),
        )
        ledger.post_many([Entry("open", "opening", legs), Entry("grant", "grant", owed)])
    store = WithdrawalStore(database, ledger, audit, now)

    approvals = DatabaseApprovals(database, rules=lambda: policy, now_ns=now)
    served = venue or CcxtWithdrawals(settings_of(sandbox))
    venues = VenueDesk(
        store=store,
        venues={"sandbox": served},
        secrets=secrets,
        policy=policy,
        screener=NoScreening(),  # type: ignore[arg-type]
        freezes=Freezes(database, audit, now),
        approvals=approvals,
        rules=lambda: policy,
        own=lambda address, code: OWN if (address, code) == (VAULT, "USDC") else None,
        now_ns=now,
        options=options or VenueOptions(look_s=0.05, people_s=0.05),
        checkpoint=checkpoint,
    )
    desk = WithdrawalDesk(
        database=database,
        ledger=ledger,
        audit=audit,
        screener=NoScreening(),  # type: ignore[arg-type]
        addresses=AddressBook(database, audit, now),
        transactions={},
        venues=venues,
        fees=lambda _request: FEE,
        now_ns=now,
        options=WithdrawalOptions(look_s=0.05, retry_s=0.02),
        checkpoint=checkpoint,
    )
    return Bank(sandbox, desk, store, ledger, database, secrets, approvals, served)


def _move(key: str, source: str, target: str, raw: int) -> Entry:
    return Entry(key, "test", (Posting(source, USDC.id, -raw), Posting(target, USDC.id, raw)))


@pytest.fixture
async def sandbox(start: Start) -> Sandbox:
    return await start(SandboxConfig(accounts=(CAROL,), faults=True, flow=None))


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(45):
        while True:
            found = holds()
            if (await found) if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


async def finished(bank: Bank, withdrawal_id: str) -> Withdrawal:
    return await bank.desk.wait_for(withdrawal_id, DONE, timeout_s=90)


async def test_a_withdrawal_leaves_once_with_its_fee_and_is_booked(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path)
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    found = await finished(bank, asked.id)
    await bank.desk.stop()
    assert found.state is State.BOOKED
    assert found.tx_hash.startswith("0x")
    (sent,) = await bank.sent()
    assert (sent["withdrawOrderId"], Decimal(sent["amount"]), sent["address"]) == (asked.id, 100, RECIPIENT)
    assert await bank.free() == 1000 - 100 - Decimal(FEE).scaleb(-8)
    assert bank.ledger.balance("venue/sandbox", USDC.id) == int((await bank.free()).scaleb(8))
    assert bank.owed() == 400 * USDC.unit - FEE
    assert bank.owed("held") == 0
    assert bank.ledger.balances("inflight") == {}
    assert bank.is_true()
    steps = [event["step"] for event in bank.desk.history(asked.id)]
    assert steps == [
        Step.REQUESTED,
        Step.SCREENED,
        Step.APPROVED,
        Step.SENT,
        Step.ACCEPTED,
        Step.FINALIZED,
        Step.BOOKED,
    ]


async def test_the_house_moves_its_own_from_an_exchange_to_its_vault(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path)
    await bank.desk.start()
    to_vault = VenueDestination("sandbox", "ETH", VAULT)
    for user, destination in ((HOUSE, ask().destination), ("ulla", to_vault)):
        with pytest.raises(InputError, match="house"):
            await bank.desk.request(ask(user=user, destination=destination))
    asked = await bank.desk.request(ask(user=HOUSE, destination=to_vault))
    assert (await finished(bank, asked.id)).state is State.BOOKED
    await bank.desk.stop()
    assert bank.ledger.balance("venue/sandbox", USDC.id) == int((await bank.free()).scaleb(8))
    assert bank.ledger.balance(OWN.account, OWN.asset) == 100 * 10**6
    assert bank.ledger.balance("fees/transfers", USDC.id) == FEE
    assert bank.owed() == 500 * USDC.unit  # nobody's debt changed
    assert bank.ledger.balances("inflight") == {}
    assert bank.is_true()


async def test_two_people_approve_and_only_then_the_key_is_unsealed(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path, policy=rules(people=2))
    opened: list[str] = []
    original = bank.secrets.open
    bank.secrets.open = lambda venue: (opened.append(venue), original(venue))[1]  # type: ignore[method-assign]
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    await bank.desk.wait_for(asked.id, [State.AWAITING_APPROVAL], timeout_s=90)
    request = bank.approvals.find(asked.id)
    assert "100.001 USDC" in request.text
    bank.approvals.add(asked.id, approve(key_of("alice"), request.intent, request.text))
    assert opened == []
    assert bank.approvals.add(asked.id, approve(key_of("bob"), request.intent, request.text)) is ApprovalState.MET
    assert (await finished(bank, asked.id)).state is State.BOOKED
    await bank.desk.stop()
    assert opened


async def test_policy_limits_exchanges_as_it_limits_chains(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path, policy=rules(limit="150"))
    await bank.desk.start()
    first = await bank.desk.request(ask())
    second = await bank.desk.request(ask(key="k-2"))
    states = sorted([(await finished(bank, first.id)).state, (await finished(bank, second.id)).state])
    await bank.desk.stop()
    assert states == [State.BOOKED, State.REFUSED]
    assert bank.owed() == 400 * USDC.unit - FEE


async def test_a_window_that_is_not_counted_for_exchanges_is_unknown_not_empty(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    data = dict(rules().rulebook.data)
    often = {"id": "often", "effect": "allow", "limits": {"transactions": [{"window": "1h", "count": 5}]}}
    bank = bank_of(sandbox, tmp_path, policy=Policy(rulebook_of({**data, "rules": [*data["rules"], often]})))
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    assert (await finished(bank, asked.id)).state is State.REFUSED
    await bank.desk.stop()
    assert not await bank.sent()


@pytest.mark.parametrize("fault", ["drop_withdrawal_ack", "delay_withdrawal"])
async def test_a_lost_answer_is_asked_about_and_a_late_one_waited_for(
    fault: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    bank = bank_of(sandbox, tmp_path)
    await sandbox.fault(fault, count=1, delay_ms=600)
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    assert (await finished(bank, asked.id)).state is State.BOOKED
    await bank.desk.stop()
    assert len(await bank.sent()) == 1
    assert bank.is_true()


async def test_one_that_fails_at_the_exchange_gives_everything_back(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path)
    await sandbox.fault("fail_withdrawal", count=1)
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    assert (await finished(bank, asked.id)).state is State.FAILED
    await bank.desk.stop()
    assert bank.owed() == 500 * USDC.unit
    assert bank.ledger.balance("venue/sandbox", USDC.id) == 1000 * USDC.unit == int((await bank.free()).scaleb(8))


async def test_a_doubled_request_freezes_the_exchange_until_a_person_says_which(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    bank = bank_of(sandbox, tmp_path)
    await sandbox.fault("double_withdrawal", count=1)
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    await until(lambda: bank.store.find(asked.id).needs_operator)
    with bank.database.snapshot() as session:
        assert [(f.scope, f.source) for f in standing(session)] == [("venue/sandbox", "withdrawals")]
    other = await bank.desk.request(ask(key="k-2", raw=USDC.unit))
    await until(lambda: "frozen" in bank.store.find(other.id).reason)
    assert len(await bank.sent()) == 2
    with pytest.raises(InputError, match="knows no withdrawal"):
        await bank.desk.resolve(asked.id, "nonsense", by="olga")
    await bank.desk.resolve(asked.id, (await bank.sent())[0]["id"], by="olga")
    assert (await finished(bank, asked.id)).state is State.BOOKED
    await bank.desk.stop()
    assert bank.store.find(other.id).state is not State.BOOKED  # the freeze stands: two people lift it
    missing = bank.ledger.balance("venue/sandbox", USDC.id) - int((await bank.free()).scaleb(8))
    assert missing == 100 * USDC.unit + FEE  # what left twice shows in the reconciliation


async def test_a_trading_key_cannot_withdraw_and_the_withdrawing_key_cannot_trade(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    order = VenueWithdrawal(client_id="w", asset="USDC", amount=Decimal(10), network="ETH", address=RECIPIENT)
    with pytest.raises(OrderRejected, match="-2015"):
        await CcxtWithdrawals(settings_of(sandbox)).submit(order, lambda: TRADER)
    withdrawing = replace(CAROL, api_key=KEY.key.reveal(), secret=KEY.secret.reveal())
    status, answer = await sandbox.call(
        "POST", "/api/v3/order", withdrawing, symbol="ETHUSDC", side="BUY", type="LIMIT", quantity="1", price="100"
    )
    assert (status, answer["code"]) == (401, -2015)


async def test_what_an_exchange_refuses_is_refused_with_its_reason(sandbox: Sandbox, tmp_path: Path) -> None:
    bank = bank_of(sandbox, tmp_path)
    bank.secrets.put("sandbox", TRADER, by="olga")  # somebody sealed the wrong key
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    found = await bank.desk.wait_for(asked.id, [*DONE, State.APPROVED], timeout_s=90)
    await bank.desk.stop()
    assert found.state in (State.APPROVED, State.FAILED)
    assert await bank.sent() == []


@pytest.mark.parametrize("edge", ["sent.before", "sent.after", "ask.before", "ask.after", "accepted.after"])
async def test_killed_at_an_edge_it_leaves_at_most_once(edge: str, sandbox: Sandbox, tmp_path: Path) -> None:
    def kill(at: str) -> None:
        if at == edge:
            raise InvariantError("killed")

    bank = bank_of(sandbox, tmp_path, checkpoint=kill)
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    await until(bank.desk._task.done)  # type: ignore[union-attr]
    with pytest.raises(InvariantError, match="killed"):
        await bank.desk.stop()
    bank.database.dispose()
    options = VenueOptions(look_s=0.05, absent_s=0.3)
    again = bank_of(sandbox, tmp_path, options=options)
    await again.desk.start()
    found = await finished(again, asked.id)
    await again.desk.stop()
    sent = await again.sent()
    # Recorded as sent and never asked for: it is not asked for again, and its funds come back.
    expected = {"sent.before": 1, "sent.after": 0, "ask.before": 0, "ask.after": 1, "accepted.after": 1}[edge]
    assert len(sent) == expected
    assert found.state is (State.BOOKED if expected else State.FAILED)
    assert again.owed("held") == 0
    assert again.owed() == (400 * USDC.unit - FEE if expected else 500 * USDC.unit)
    assert again.ledger.balance("venue/sandbox", USDC.id) == int((await again.free()).scaleb(8))


class Forgetful:
    """An exchange that keeps no client ids: what it lists looks alike."""

    venue = "sandbox"
    knows_client_ids = False

    def __init__(self, listed: list[VenueWithdrawalReport]) -> None:
        self.listed = listed
        self.asked = 0

    async def submit(self, order: VenueWithdrawal, unseal: Callable[[], ApiKey]) -> VenueWithdrawalReport:
        self.asked += 1
        raise OutcomeUnknown("no answer", request_id=order.client_id)

    async def find(
        self, order: VenueWithdrawal, since_ms: int, unseal: Callable[[], ApiKey]
    ) -> list[VenueWithdrawalReport]:
        return [report for report in self.listed if report.amount + report.fee == order.amount]


def report(ref: str) -> VenueWithdrawalReport:
    return VenueWithdrawalReport(
        ref=ref,
        client_id="",
        state=VenueWithdrawalState.COMPLETED,
        amount=Decimal(100),
        fee=Decimal(FEE).scaleb(-8),
        address=RECIPIENT,
        tx_hash="0xabc",
        time_ms=0,
    )


@pytest.mark.parametrize(("refs", "is_clear"), [(["a"], True), (["a", "b"], False), ([], False)])
async def test_without_client_ids_one_that_looks_like_ours_is_ours_and_else_a_person_decides(
    refs: list[str], is_clear: bool, sandbox: Sandbox, tmp_path: Path
) -> None:
    venue = Forgetful([report(ref) for ref in refs])
    bank = bank_of(sandbox, tmp_path, venue=venue, options=VenueOptions(look_s=0.02, absent_s=0.1))
    await bank.desk.start()
    asked = await bank.desk.request(ask())
    if is_clear:
        assert (await finished(bank, asked.id)).venue_ref == "a"
    else:
        await until(lambda: bank.store.find(asked.id).needs_operator)
        await bank.desk.resolve(asked.id, refs[1] if refs else "", by="olga")
        found = await finished(bank, asked.id)
        assert found.state is (State.BOOKED if refs else State.FAILED)
    await bank.desk.stop()
    assert venue.asked == 1
    assert bank.owed("held") == 0


def test_an_hsm_seals_keys_from_whichever_thread_and_each_for_its_row(tmp_path: Path) -> None:
    tokens = SoftTokens(tmp_path)
    tokens.create("desk")
    with HsmToken(tokens.module, "desk", PIN) as token:
        token.create_secret_key("kek")
    database = books_at(tmp_path / "b.db")
    sealer = HsmSealer(tokens.module, "desk", PIN, kek="kek")
    secrets = VenueSecrets(database, sealer, AuditLog(database, lambda: 1), lambda: 1)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: secrets.put(f"venue{n}", KEY, by="olga"), range(4)))
        assert list(threads.map(lambda n: secrets.open(f"venue{n}"), range(4))) == [KEY] * 4
    sealed = sealer.seal(b"x", row_id="venue/a/withdraw")
    with pytest.raises(InputError):
        sealer.open(sealed, row_id="venue/b/withdraw")
    database.dispose()


def test_a_sealed_key_opens_in_its_own_row_only(tmp_path: Path) -> None:
    kek = tmp_path / "kek"
    kek.write_text("22" * 32)
    kek.chmod(0o644)
    with pytest.raises(InputError, match="read by others"):
        FileEnvelopes(kek)
    kek.chmod(0o600)
    envelopes = FileEnvelopes(kek)
    sealed = envelopes.seal(b"secret", row_id="venue/a/withdraw")
    assert envelopes.open(sealed, row_id="venue/a/withdraw") == b"secret"
    for changed, row in ((sealed, "venue/b/withdraw"), (sealed[:-1] + b"x", "venue/a/withdraw"), (b"CF1", "x")):
        with pytest.raises(InputError):
            envelopes.open(changed, row_id=row)
    database = books_at(tmp_path / "b.db")
    secrets = VenueSecrets(database, envelopes, AuditLog(database, lambda: 1), lambda: 1)
    secrets.put("binance", KEY, by="olga")
    assert secrets.open("binance") == KEY
    database.dispose()
    assert KEY.secret.reveal().encode() not in (tmp_path / "b.db").read_bytes()
