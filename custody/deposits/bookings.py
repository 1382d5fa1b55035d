"""A deposit's steps as ledger entries."""

from __future__ import annotations

from typing import Final

from custody.deposits.states import DepositState, DepositStep
from custody.deposits.tables import DepositRow
from custody.ledger import Entry, Posting, postings
from custody.ledger.accounts import suspense_account, user_account, vault_account
from domain import Address, ChainId, InvariantError

REFUSED_SENDERS: Final = suspense_account("refused-senders")
DUST: Final = suspense_account("dust")


def leg_of(row: DepositRow) -> postings.DepositLeg:
    """The deposit as the ledger's builders take it."""
    return postings.DepositLeg(
        chain_id=ChainId(row.chain_id),
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        leg=row.leg,
        occurrence=row.occurrence,
        user=row.user,
        address=Address(row.address),
        asset=row.asset,
        raw=row.raw,
    )


def entries_of(row: DepositRow, step: DepositStep) -> list[Entry]:
    """What a step books; a reorganisation is undone by `undo_of`.

    Raises:
        InvariantError: A reorganisation.
    """
    leg = leg_of(row)
    match step:
        case DepositStep.SEEN:
            return [postings.deposit_seen(leg)]
        case DepositStep.TOO_SMALL:
            return [_move(f"{leg.key}/dust", "deposit-dust", DUST, _place(leg), leg)]
        case DepositStep.CONFIRMED:
            return [postings.deposit_available(leg)]
        case DepositStep.REFUSED:
            return [_suspended(leg)]
        case DepositStep.CLEARED:
            return [
                _move(f"{leg.key}/cleared", "deposit-cleared", user_account(leg.user), REFUSED_SENDERS, leg),
            ]
        case DepositStep.FINALIZED:
            return []
        case _:
            raise InvariantError(f"{leg.key}: {step} is undone, not booked")


def undo_of(row: DepositRow, reason: str, *, short_raw: int) -> list[Entry]:
    """What takes a deposit out of the books again, from the state it is in.

    Args:
        row: As it stands.
        reason: Which block went away.
        short_raw: Of an available one: what the user no longer has.

    Raises:
        InvariantError: In this state there is nothing that a reorganisation could undo.
    """
    leg = leg_of(row)
    match DepositState(row.state):
        case DepositState.PENDING:
            return [postings.deposit_reorged(leg, reason, was_available=False)]
        case DepositState.AVAILABLE:
            return [postings.deposit_reorged(leg, reason, was_available=True, short_raw=short_raw)]
        case DepositState.SUSPENDED:
            return [
                postings.contra(_suspended(leg), reason),
                postings.deposit_reorged(leg, reason, was_available=False),
            ]
        case DepositState.DUST:
            return [postings.contra(entries_of(row, DepositStep.TOO_SMALL)[0], reason)]
        case state:
            raise InvariantError(f"{leg.key} is {state}, and its block is gone")


def _suspended(leg: postings.DepositLeg) -> Entry:
    return _move(f"{leg.key}/suspended", "deposit-suspended", REFUSED_SENDERS, user_account(leg.user, "pending"), leg)


def _place(leg: postings.DepositLeg) -> str:
    return vault_account(leg.chain_id, leg.address)


def _move(key: str, kind: str, source: str, target: str, leg: postings.DepositLeg) -> Entry:
    legs = (Posting(source, leg.asset, -leg.raw), Posting(target, leg.asset, leg.raw))
    return Entry(key, kind, legs, tx_hash=leg.tx_hash)
