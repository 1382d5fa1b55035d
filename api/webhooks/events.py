"""What others than the API's routes announce, in the transaction of what happened.

Trades and ends of orders as their history is written, by the engine's process; withdrawals and approvals by whichever
process takes the step.
"""

from __future__ import annotations

import time
from typing import Any

from sqlmodel import Session, col, select

from api.custody.whose import organisation_of, organisation_of_vault
from api.portfolios.tables import PortfolioRow, PortfolioStrategyRow
from api.webhooks.outbox import Outbox
from api.webhooks.tables import EndpointRow
from custody.approvals import ApprovalRequest
from custody.deposits.states import DepositStep
from custody.deposits.tables import DepositRow
from custody.withdrawals import Step, Withdrawal
from custody.withdrawals.requests import is_withdrawal_id
from custody.withdrawals.tables import WithdrawalRow
from domain import OrderState

_OUTBOX = Outbox(time.time_ns)


def tell_fills(session: Session, fills: list[dict[str, Any]]) -> None:
    """Announce trades that were written just now."""
    _tell(session, "fill.created", fills, lambda fill: f"fill/{fill['instrument']}/{fill['trade_id']}")


def tell_orders(session: Session, orders: list[dict[str, Any]]) -> None:
    """Announce which of the orders have ended."""
    ended = [order for order in orders if not OrderState(order["state"]).is_open]
    _tell(session, "order.ended", ended, lambda order: f"order/{order['client_order_id']}")


def tell_withdrawal(session: Session, withdrawal: Withdrawal, step: Step) -> None:
    """Announce a step of a withdrawal to its client's organisation."""
    organisation = organisation_of(session, withdrawal.user)
    if organisation is None:
        return
    to = withdrawal.destination
    data = {
        "id": withdrawal.id, "client": withdrawal.user, "step": step.value, "state": withdrawal.state.value,
        "asset": withdrawal.asset, "raw": str(withdrawal.raw), "fee_raw": str(withdrawal.fee_raw),
        "place": to.place, "address": to.address, "reason": withdrawal.reason,
        "tx_hash": withdrawal.tx_hash or None,
    }  # fmt: skip
    kind = "withdrawal.ended" if withdrawal.state.has_ended else "withdrawal.changed"
    _OUTBOX.announce(session, organisation, kind, data)


def tell_deposit(session: Session, deposit: DepositRow, step: DepositStep) -> None:
    """Announce a step of a deposit to its client's organisation."""
    if session.exec(select(EndpointRow.id).limit(1)).first() is None:
        return  # A block may bring thousands of them.
    organisation = organisation_of(session, deposit.user)
    if organisation is None:
        return
    data = {
        "id": deposit.id, "client": deposit.user, "step": step.value, "state": deposit.state, "asset": deposit.asset,
        "raw": str(deposit.raw), "address": deposit.address, "sender": deposit.sender, "tx_hash": deposit.tx_hash,
        "chain_id": deposit.chain_id, "block_number": deposit.block_number,
    }  # fmt: skip
    _OUTBOX.announce(session, organisation, "deposit.changed", data)


def tell_approval(session: Session, request: ApprovalRequest) -> None:
    """Announce what waits for people, and what they said, to whose vault it is and whose client asked."""
    intent = request.intent
    organisations = {organisation_of_vault(session, intent.vault)}
    if is_withdrawal_id(intent.intent_id):
        query = select(WithdrawalRow.user).where(WithdrawalRow.withdrawal_id == intent.intent_id)
        organisations |= {organisation_of(session, client) for client in session.exec(query)}
    data = {
        "id": intent.intent_id, "vault": intent.vault, "initiator": intent.initiator, "state": request.state.value,
        "reason": request.reason, "text": request.text, "digest": request.digest, "expires_s": intent.expires_s,
        "given": [{"by": name, "verdict": given.verdict.value} for name, given in request.approvals],
    }  # fmt: skip
    kind = "approval.changed" if request.approvals else "approval.asked"
    for organisation in sorted(organisations - {None}, key=str):
        _OUTBOX.announce(session, str(organisation), kind, data)


def _tell(session: Session, kind: str, values: list[dict[str, Any]], source: Any) -> None:
    if not values or session.exec(select(EndpointRow.id).limit(1)).first() is None:
        return
    owners: dict[str, str | None] = {}
    for value in values:
        strategy = value["strategy"]
        if strategy not in owners:
            owners[strategy] = _organisation(session, strategy)
        if (organisation := owners[strategy]) is not None:
            _OUTBOX.announce(session, organisation, kind, value, source=source(value)[:120])


def _organisation(session: Session, strategy: str) -> str | None:
    """Whose a strategy is, as `Directory.of_strategy` has it."""
    row = session.get(PortfolioStrategyRow, strategy)
    query = select(PortfolioRow.organisation)
    query = query.where(col(PortfolioRow.has_rest) if row is None else PortfolioRow.id == row.portfolio)
    return session.exec(query).first()
