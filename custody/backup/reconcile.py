"""After a restore: what happened since the backup is on the chain, and is taken over from there.

    seen       the account's own transactions, mined or waiting in the pool, under nonces the books do not know
    adopted    those that are what an unfinished intent was to do: the intent gets the bytes, and is followed to its end
    unknown    the rest: value that left and of which the restored books know nothing; a person has to book it
    journals   learn every one of them, and open with a floor above (`wallets.restored`)

So a withdrawal that was paid after the backup is not paid again, and no nonce is signed twice. Everything stays frozen
until two people lift the freeze that the restore imposed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlmodel import col, func, select

from chain import ChainClient, checksum
from custody.audit import AuditLog
from custody.ledger import Ledger
from custody.transactions.lease import Lease
from custody.transactions.lifecycle import UNSIGNED, State, Step
from custody.transactions.outbox import Outbox
from custody.transactions.records import Intent
from custody.transactions.tables import AttemptRow, TransactionRow
from domain import Address, ChainId, InputError, InvariantError, VenueUnavailable
from runtime.database import Database
from wallets import Signature, SignedTransaction, SigningJournal, TransactionToSign
from wallets.transactions import assemble, recover, signing_digest

BLOCKS_MAX: Final = 200_000
_BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A transaction of an account, as the chain has it."""

    tx: TransactionToSign
    signed: SignedTransaction
    block_number: int | None
    """None while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What was found. `unknown` is value that left and that the books know nothing of."""

    account: Address
    chain_id: int
    chain_nonce: int
    seen: tuple[Seen, ...] = ()
    adopted: Mapping[str, str] = field(default_factory=dict)
    """Intent id → transaction hash."""
    unknown: tuple[Seen, ...] = ()
    floors: Mapping[str, int] = field(default_factory=dict)
    """By journal file."""


async def look_at_chain(client: ChainClient, account: Address, first_nonce: int) -> tuple[int, list[Seen]]:
    """Find an account's transactions from a nonce on; gives the chain's count for it, with what waits, and these.

    Raises:
        VenueUnavailable: The node did not answer, or blocks that hold them are further back than `BLOCKS_MAX`.
        InputError: One cannot be read back into what was signed.
    """
    head = await client.head()
    mined, pending = await client.nonce(account, int(head.number)), await client.nonce(account, "pending")
    found: dict[int, Seen] = {}
    wanted = set(range(first_nonce, mined))
    number = int(head.number)
    while wanted - found.keys() and number >= 0:
        if int(head.number) - number > BLOCKS_MAX:
            raise VenueUnavailable(f"{account}: transactions are further back than {BLOCKS_MAX} blocks")
        numbers = range(max(0, number - _BATCH + 1), number + 1)
        blocks = await asyncio.gather(*(_block(client, hex(n)) for n in numbers))
        for block in blocks:
            _collect(block, account, client.chain_id, found, wanted)
        number = numbers[0] - 1
    if missing := wanted - found.keys():
        raise VenueUnavailable(f"{account}: nonces {sorted(missing)[:5]} are used, and in no block the node has")
    waiting = set(range(max(first_nonce, mined), max(pending, mined)))
    if waiting:
        _collect(await _block(client, "pending"), account, client.chain_id, found, waiting)
    return max(mined, pending), [found[nonce] for nonce in sorted(found)]


def first_unknown_nonce(database: Database, chain_id: int, account: Address) -> int:
    """The nonce after the last one that the books have signed bytes for."""
    with database.snapshot() as session:
        highest = session.exec(
            select(func.max(TransactionRow.nonce))
            .join(AttemptRow, col(AttemptRow.transaction_id) == col(TransactionRow.id))
            .where(col(TransactionRow.chain_id) == chain_id, col(TransactionRow.sender) == account)
            .where(col(AttemptRow.raw).is_not(None))
        ).one()
    return 0 if highest is None else int(highest) + 1


def adopt(
    database: Database,
    ledger: Ledger,
    chain_id: int,
    account: Address,
    seen: Sequence[Seen],
    now_ns: Callable[[], int],
) -> tuple[dict[str, str], tuple[Seen, ...]]:
    """Give unfinished intents the transactions that the chain has of them; gives those, and what fits none.

    Raises:
        InputError: A process serves the account.
    """
    lease = Lease(database, chain_id=ChainId(chain_id), address=account, holder="reconcile", now_ns=now_ns)
    lease.acquire()
    try:
        outbox = _outbox(database, ledger, chain_id, account, now_ns, lease)
        adopted: dict[str, str] = {}
        unknown: list[Seen] = []
        for each in seen:
            intent = _owner(outbox, each)
            if intent is None:
                unknown.append(each)
                continue
            if not any(attempt.tx_hash == each.signed.hash for attempt in intent.attempts):
                _take_over(outbox, str(intent.plan.intent_id), each)
            adopted[str(intent.plan.intent_id)] = each.signed.hash
    finally:
        lease.release()
    return adopted, tuple(unknown)


def skip_to(
    database: Database, ledger: Ledger, chain_id: int, account: Address, nonce: int, now_ns: Callable[[], int]
) -> None:
    """Let the books give out no nonce below the journals' floor; custody closes the gap that a margin leaves.

    Raises:
        InputError: A process serves the account.
    """
    lease = Lease(database, chain_id=ChainId(chain_id), address=account, holder="reconcile", now_ns=now_ns)
    lease.acquire()
    try:
        outbox = _outbox(database, ledger, chain_id, account, now_ns, lease)
        with outbox.transaction() as session:
            outbox.skip_to(session, nonce)
    finally:
        lease.release()


def open_journals(
    journals: Sequence[Path],
    account: Address,
    chain_id: int,
    *,
    chain_nonce: int,
    seen: Sequence[Seen],
    margin: int,
    now_ns: Callable[[], int],
) -> dict[str, int]:
    """Let restored journals sign for the account again; gives the floor of each. They must not be in use."""
    floors = {}
    for path in journals:
        if not path.is_file():
            raise InputError(f"there is no journal {path}")
        with SigningJournal(path, now_ns=now_ns) as journal:
            floors[str(path)] = journal.reconcile(
                account, chain_id, chain_nonce=chain_nonce, in_flight=[each.signed.raw for each in seen], margin=margin
            )
    return floors


def _owner(outbox: Outbox, seen: Seen) -> Intent | None:
    """Find whose transaction it is: by its nonce, else the oldest unsigned intent that was to do just this."""
    bound = outbox.under([seen.tx.nonce])
    if bound:
        return bound[0] if any(_is_same(attempt.unsigned, seen.tx) for attempt in bound[0].attempts) else None
    effect = (seen.tx.to, seen.tx.value_wei, seen.tx.data)
    for intent in outbox.working():
        plan = intent.plan
        if intent.state in UNSIGNED and (plan.to, plan.value_wei, plan.data) == effect:
            return intent
    return None


def _take_over(outbox: Outbox, intent_id: str, seen: Seen) -> None:
    """Bring an intent to where its signed bytes are recorded, by the steps that happened after the backup."""
    steps = {
        State.HELD: Step.RELEASED,
        State.CREATED: Step.SCREENED,
        State.SCREENED: Step.APPROVED,
        State.AWAITING_APPROVAL: Step.APPROVED,
        State.DELAYED: Step.APPROVED,
    }
    with outbox.transaction() as session:
        while True:
            session.flush()
            intent = outbox.find_in(session, intent_id)
            if intent.state in steps:
                outbox.step(session, intent, steps[intent.state], restored=True)
            elif intent.state is State.APPROVED:
                nonce = outbox.reserve(session, intent, seen.tx.nonce, lambda _nonce: seen.tx)
                if nonce != seen.tx.nonce:
                    raise InvariantError(f"{intent_id}: nonce {seen.tx.nonce} is taken in the books, {nonce} came next")
            elif intent.state is State.NONCE_RESERVED:
                outbox.signed(session, intent, seen.signed)
            else:
                return


def _outbox(
    database: Database,
    ledger: Ledger,
    chain_id: int,
    account: Address,
    now_ns: Callable[[], int],
    lease: Lease | None = None,
) -> Outbox:
    audit = AuditLog(database, now_ns)

    def observe(session: Any, intent_id: str, step: Step, state: State, _detail: Any) -> None:
        audit.append(session, "transaction.restored", f"transaction/{intent_id}", {"step": step, "state": state})

    return Outbox(
        database,
        ledger,
        chain_id=ChainId(chain_id),
        sender=account,
        now_ns=now_ns,
        fence=lease.check if lease is not None else lambda _session: None,
        observe=observe,
    )


def _collect(
    block: Mapping[str, Any], account: Address, chain_id: int, found: dict[int, Seen], wanted: set[int]
) -> None:
    for answer in block.get("transactions", ()):
        nonce = int(answer["nonce"], 16)
        if nonce in wanted and checksum(answer["from"]) == account:
            found[nonce] = _read(answer, account, chain_id)


def _read(answer: Mapping[str, Any], account: Address, chain_id: int) -> Seen:
    """Read a transaction back into the bytes that were signed; what does not recover to the account is none of its."""
    try:
        kind = int(answer.get("type", "0x0"), 16)
        is_priced = kind < 2
        tx = TransactionToSign(
            type=kind,
            chain_id=ChainId(chain_id),
            nonce=int(answer["nonce"], 16),
            to=checksum(answer["to"]),
            value_wei=int(answer["value"], 16),
            data=bytes.fromhex(answer["input"][2:]),
            gas_limit=int(answer["gas"], 16),
            gas_price_wei=int(answer["gasPrice"], 16) if is_priced else 0,
            max_fee_per_gas_wei=0 if is_priced else int(answer["maxFeePerGas"], 16),
            max_priority_fee_per_gas_wei=0 if is_priced else int(answer["maxPriorityFeePerGas"], 16),
            access_list=tuple(
                (checksum(entry["address"]), tuple(bytes.fromhex(slot[2:]) for slot in entry["storageKeys"]))
                for entry in answer.get("accessList") or ()
            ),
        )
        parity = int(answer["v"], 16)
        parity = (parity - 35) % 2 if kind == 0 else parity
        signature = Signature(int(answer["r"], 16), int(answer["s"], 16), parity)
        if recover(signing_digest(tx), signature) != account:
            raise InputError("it does not recover to the account")
        signed = assemble(tx, signature, account)
    except (KeyError, TypeError, ValueError, InputError) as exc:
        raise InputError(f"transaction {answer.get('hash')} cannot be read back into what was signed: {exc}") from exc
    block = answer.get("blockNumber")
    return Seen(tx, signed, None if block is None else int(block, 16))


async def _block(client: ChainClient, ref: str) -> Mapping[str, Any]:
    answer = await client.rpc.request("eth_getBlockByNumber", ref, True)
    if not isinstance(answer, Mapping):
        raise VenueUnavailable(f"the node has no block {ref}")
    return answer


def _is_same(unsigned: TransactionToSign, seen: TransactionToSign) -> bool:
    return signing_digest(unsigned) == signing_digest(seen)
