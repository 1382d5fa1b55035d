"""Sweeps in the database: what may be swept, what is under way, what came of it.

A sweep, its items, the deposits it takes and the intent that custody carries out are recorded in one transaction: there
is no sweep without its transaction, and no deposit in two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select, update

from custody.audit import AuditLog
from custody.deposits.ports import SweepDesk
from custody.deposits.states import DepositState
from custody.deposits.sweep_plans import Holding, Moved
from custody.deposits.tables import DepositAddressRow, DepositRow, GasGrantRow, SweepItemRow, SweepRow
from custody.ledger.accounts import vault_account
from custody.ledger.tables import BalanceRow
from custody.transactions.lifecycle import State
from custody.transactions.tables import TransactionRow
from domain import Address, ChainId, InvariantError
from domain.plans import TransactionPlan
from runtime.database import Database, raw_sum

SENT, DONE, FAILED = "sent", "done", "failed"
ELSEWHERE = "elsewhere"
"""The sweep of deposits that somebody else has swept: anybody may, to the same vault."""
_INITIATOR = "sweeps"
_HELD = (DepositState.PENDING, DepositState.AVAILABLE, DepositState.SUSPENDED, DepositState.DUST)
_RETRY_NS = 3600 * 10**9
"""How long an address and asset that failed is left alone."""


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A sweep under way, with how far its transaction has come."""

    id: str
    plan: str
    state: State
    tx_hash: str
    block_number: int | None
    items: tuple[tuple[Address, str, int], ...]


class SweepStore:
    """One chain's sweeps. Synchronous; the sweeper calls it on threads."""

    def __init__(self, database: Database, chain_id: ChainId, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._chain_id = chain_id
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)

    def holdings(self) -> list[Holding]:
        """What may be swept: final deposits of one address and asset together, no more than the books have there."""
        with self._database.snapshot() as session:
            return self._holdings(session)

    def record(self, desk: SweepDesk, sweep: str, target: Address, plan: TransactionPlan, parts: Sequence[Holding],
               amounts: Sequence[int]) -> bool:  # fmt: skip
        """Record a sweep and its intent; False when somebody else took some of it meanwhile.

        Args:
            desk: Who signs.
            sweep: Its id, and the intent's.
            target: The vault.
            plan: Its transaction.
            parts: What it takes, as `holdings` gave it.
            amounts: How much of each.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"sweeps/{self._chain_id}")
            present = {(part.address, part.asset): part for part in self._holdings(session)}
            if any(present.get((part.address, part.asset)) != part for part in parts):
                return False
            session.add(
                SweepRow(
                    id=sweep,
                    chain_id=self._chain_id,
                    sender=plan.sender,
                    target=target,
                    state=SENT,
                    tx_hash="",
                    detail="",
                    created_ns=self._now_ns(),
                )
            )
            session.flush()
            for number, (part, raw) in enumerate(zip(parts, amounts, strict=True)):
                session.add(
                    SweepItemRow(sweep_id=sweep, number=number, address=part.address, asset=part.asset, raw=raw)
                )
                self._link(session, part.deposits, sweep)
            desk.record_in(session, plan, initiator=_INITIATOR, vault="default")
            detail = {"items": str(len(parts)), "sender": plan.sender, "target": target}
            self._audit.append(session, "sweep.sent", f"sweep/{sweep}", detail)
        desk.wake()
        return True

    def open(self) -> list[OpenSweep]:
        """Every sweep whose transaction has not come to its end in these books, oldest first."""
        with self._database.snapshot() as session:
            rows = session.exec(
                select(SweepRow, TransactionRow)
                .join(TransactionRow, col(TransactionRow.intent_id) == col(SweepRow.id))
                .where(col(SweepRow.chain_id) == self._chain_id, col(SweepRow.state) == SENT)
                .order_by(col(SweepRow.created_ns), col(SweepRow.id))
            ).all()
            items: dict[str, list[tuple[Address, str, int]]] = defaultdict(list)
            wanted = [sweep.id for sweep, _ in rows]
            query = select(SweepItemRow).where(col(SweepItemRow.sweep_id).in_(wanted))
            for item in session.exec(query.order_by(col(SweepItemRow.number))):
                items[item.sweep_id].append((Address(item.address), item.asset, item.raw))
            return [
                OpenSweep(
                    id=sweep.id,
                    plan=row.plan,
                    state=State(row.state),
                    tx_hash=row.tx_hash or "",
                    block_number=row.block_number,
                    items=tuple(items[sweep.id]),
                )
                for sweep, row in rows
            ]

    def senders(self) -> set[Address]:
        """Accounts with a sweep or a gift of gas under way."""
        with self._database.snapshot() as session:
            sweeps = session.exec(
                select(SweepRow.sender).where(col(SweepRow.chain_id) == self._chain_id, col(SweepRow.state) == SENT)
            )
            return {Address(sender) for sender in sweeps}

    def close(self, sweep: OpenSweep, parts: Sequence[Moved]) -> None:
        """Note what a sweep that ended did; deposits of items that failed may be swept again.

        Raises:
            InvariantError: It took other than it was to.
        """
        took = {(part.address, part.asset): part for part in parts}
        with self._database.transaction() as session:
            self._database.serialize(session, f"sweeps/{self._chain_id}")
            row = session.get_one(SweepRow, sweep.id)
            if row.state != SENT:
                return
            row.state = DONE if took else FAILED
            row.tx_hash, row.detail, row.ended_ns = sweep.tx_hash, sweep.state, self._now_ns()
            for item in session.exec(select(SweepItemRow).where(col(SweepItemRow.sweep_id) == sweep.id)):
                part = took.get((Address(item.address), item.asset))
                if part is not None and part.sent_raw != item.raw:
                    raise InvariantError(f"sweep {sweep.id} took {part.sent_raw} of {item.raw} {item.asset}")
                item.arrived_raw = 0 if part is None else part.arrived_raw
                if part is None:
                    self._unlink(session, sweep.id, item.address, item.asset)
            detail = {"state": row.state, "transaction": sweep.state, "failed": str(len(sweep.items) - len(took))}
            self._audit.append(session, "sweep.ended", f"sweep/{sweep.id}", detail)

    def take_elsewhere(self) -> int:
        """Mark deposits whose value the books no longer have at their address: somebody else swept them."""
        with self._database.transaction() as session:
            self._database.serialize(session, f"sweeps/{self._chain_id}")
            gone = [part for part in self._holdings(session, with_empty=True) if part.raw <= 0]
            for part in gone:
                self._link(session, part.deposits, ELSEWHERE)
            return len(gone)

    # --- the gas tank

    def grant(self, desk: SweepDesk, grant: str, plan: TransactionPlan, cap_wei: int) -> bool:
        """Record a gift of gas and its intent; False when one is under way, or the hour's cap is used up."""
        since = self._now_ns() - 3600 * 10**9
        with self._database.transaction() as session:
            self._database.serialize(session, f"sweeps/{self._chain_id}")
            self._refresh_grants(session)
            mine = select(GasGrantRow).where(col(GasGrantRow.chain_id) == self._chain_id)
            under_way = mine.where(col(GasGrantRow.address) == plan.to, col(GasGrantRow.state) == SENT)
            given = session.exec(
                select(raw_sum(GasGrantRow.raw)).where(
                    col(GasGrantRow.chain_id) == self._chain_id,
                    col(GasGrantRow.created_ns) > since,
                    col(GasGrantRow.state) != FAILED,
                )
            ).one()
            if session.exec(under_way).first() is not None or int(given) + plan.value_wei > cap_wei:
                return False
            session.add(
                GasGrantRow(
                    id=plan.intent_id,
                    chain_id=self._chain_id,
                    address=plan.to,
                    raw=plan.value_wei,
                    state=SENT,
                    created_ns=self._now_ns(),
                )
            )
            desk.record_in(session, plan, initiator="gas-tank", vault="default")
            self._audit.append(session, "gas.granted", f"address/{plan.to}", {"raw": str(plan.value_wei), "id": grant})
        desk.wake()
        return True

    def _refresh_grants(self, session: Session) -> None:
        query = (
            select(GasGrantRow, TransactionRow.state, TransactionRow.outcome)
            .join(TransactionRow, col(TransactionRow.intent_id) == col(GasGrantRow.id))
            .where(col(GasGrantRow.chain_id) == self._chain_id, col(GasGrantRow.state) == SENT)
        )
        for grant, state, outcome in session.exec(query).all():
            if State(state).is_settled:
                grant.state = DONE if outcome == "confirmed" else FAILED
        session.flush()

    # --- parts

    def _holdings(self, session: Session, *, with_empty: bool = False) -> list[Holding]:
        final: dict[tuple[str, str], list[DepositRow]] = defaultdict(list)
        query = select(DepositRow).where(
            col(DepositRow.chain_id) == self._chain_id,
            col(DepositRow.state) == DepositState.FINAL,
            col(DepositRow.sweep_id).is_(None),
        )
        for row in session.exec(query.order_by(col(DepositRow.id))):
            final[row.address, row.asset].append(row)
        if not final:
            return []
        addresses = self._addresses(session, {address for address, _ in final})
        free = self._free(session, final)
        failed = self._failed(session)
        found = []
        for (address, asset), rows in final.items():
            raw = min(sum(row.raw for row in rows), free[address, asset])
            if (raw <= 0 and not with_empty) or (address, asset) in failed:
                continue
            place = addresses[address]
            found.append(
                Holding(
                    address=Address(address),
                    kind=place.kind,
                    account=bytes.fromhex(place.account),
                    asset=asset,
                    raw=raw,
                    deposits=tuple(row.id or 0 for row in rows),
                    oldest_ns=min(row.final_ns or row.seen_ns for row in rows),
                )
            )
        return sorted(found, key=lambda holding: (holding.oldest_ns, holding.address, holding.asset))

    def _addresses(self, session: Session, wanted: set[str]) -> dict[str, DepositAddressRow]:
        rows = session.exec(select(DepositAddressRow).where(col(DepositAddressRow.chain_id) == self._chain_id))
        return {row.address: row for row in rows if row.address in wanted}

    def _free(self, session: Session, wanted: Mapping[tuple[str, str], object]) -> dict[tuple[str, str], int]:
        """What the books have at an address, without what is not final, refused, dust, or in a sweep under way."""
        free: dict[tuple[str, str], int] = {}
        for address, asset in wanted:
            row = session.get(BalanceRow, (vault_account(self._chain_id, Address(address)), asset))
            free[address, asset] = 0 if row is None else row.raw
        held = session.exec(
            select(DepositRow.address, DepositRow.asset, raw_sum(DepositRow.raw))
            .where(col(DepositRow.chain_id) == self._chain_id, col(DepositRow.state).in_(_HELD))
            .group_by(col(DepositRow.address), col(DepositRow.asset))
        )
        swept = session.exec(
            select(SweepItemRow.address, SweepItemRow.asset, raw_sum(SweepItemRow.raw))
            .join(SweepRow, col(SweepRow.id) == col(SweepItemRow.sweep_id))
            .join(TransactionRow, col(TransactionRow.intent_id) == col(SweepRow.id))
            .where(col(SweepRow.chain_id) == self._chain_id, col(SweepRow.state) == SENT)
            # Once it is settled the books have it; before, it still stands at the address.
            .where(col(TransactionRow.booked).is_(None))
            .group_by(col(SweepItemRow.address), col(SweepItemRow.asset))
        )
        for address, asset, raw in (*held, *swept):
            if (address, asset) in free:
                free[address, asset] -= int(raw)
        return free

    def _failed(self, session: Session) -> set[tuple[str, str]]:
        since = self._now_ns() - _RETRY_NS
        rows = session.exec(
            select(SweepItemRow.address, SweepItemRow.asset)
            .join(SweepRow, col(SweepRow.id) == col(SweepItemRow.sweep_id))
            .where(col(SweepRow.chain_id) == self._chain_id, col(SweepRow.ended_ns) > since)
            .where(col(SweepItemRow.arrived_raw) == 0)
        )
        return {(address, asset) for address, asset in rows}

    def _link(self, session: Session, deposits: Sequence[int], sweep: str) -> None:
        session.execute(update(DepositRow).where(col(DepositRow.id).in_(deposits)).values(sweep_id=sweep))

    def _unlink(self, session: Session, sweep: str, address: str, asset: str) -> None:
        session.execute(
            update(DepositRow)
            .where(col(DepositRow.sweep_id) == sweep, col(DepositRow.address) == address)
            .where(col(DepositRow.asset) == asset)
            .values(sweep_id=None)
        )
