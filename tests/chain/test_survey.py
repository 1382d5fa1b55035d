"""What several nodes say: a quorum books, one that lies or lags can only delay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain import Block, Receipt, View
from chain.survey import Survey
from domain import Address, BlockNumber
from domain.ids import Wei

ME = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
TX = "0x" + "aa" * 32


def block(number: int) -> Block:
    return Block(
        number=BlockNumber(number),
        hash=f"0xb{number}",
        parent_hash=f"0xb{number - 1}",
        time_s=1000 + number,
        base_fee_wei=Wei(1),
        gas_used=0,
        gas_limit=1,
        transactions=(),
    )


def receipt(number: int = 10, block_hash: str = "0xb10", succeeded: bool = True) -> Receipt:
    return Receipt(
        tx_hash=TX,
        block_number=BlockNumber(number),
        block_hash=block_hash,
        succeeded=succeeded,
        gas_used=21_000,
        gas_price_wei=Wei(1),
        sender=ME,
        to=ME,
        created=None,
        logs=(),
    )


def view(head: int = 12, *, nonce: int = 5, found: Receipt | None = None, **changes: object) -> View:
    fields = {
        "head": block(head),
        "finalized": head - 2,
        "nonce": nonce,
        "pending": nonce,
        "receipts": {TX: found} if found else {},
        "hashes": {number: f"0xb{number}" for number in range(head + 1)},
    }
    return View(**fields | changes)  # type: ignore[arg-type]


HONEST = view(found=receipt())


def test_one_node_is_believed_where_there_is_one() -> None:
    survey = Survey((HONEST,), 1)
    assert survey.inclusion(TX) == receipt()
    assert (survey.head, survey.nonce, survey.finalized(64)) == (12, 5, 10)
    assert not survey.is_undone(10, "0xb10")
    assert survey.is_undone(10, "0xother")


@pytest.mark.parametrize(
    "liar",
    [
        view(found=receipt(succeeded=False)),
        view(found=receipt(number=11, block_hash="0xb11")),
        view(found=replace(receipt(), gas_used=1)),
        view(),
    ],
    ids=["other status", "other block", "other gas", "knows nothing"],
)
def test_a_receipt_counts_when_two_nodes_give_the_same_one(liar: View) -> None:
    assert Survey((HONEST, liar), 2).inclusion(TX) is None
    assert Survey((HONEST, liar, HONEST), 2).inclusion(TX) == receipt()


def test_a_receipt_of_a_block_that_is_not_on_the_nodes_own_chain_does_not_count() -> None:
    stale = view(found=receipt(block_hash="0xlost"))
    assert Survey((stale, stale), 2).inclusion(TX) is None


def test_a_node_that_counts_too_high_opens_no_gap_and_a_laggard_hides_nothing() -> None:
    liar, laggard = view(nonce=900, head=900), view(nonce=1, head=3)
    survey = Survey((HONEST, liar, HONEST), 2)
    assert (survey.nonce, survey.pending, survey.head, survey.finalized(64)) == (5, 5, 12, 10)
    survey = Survey((HONEST, laggard, HONEST), 2)
    assert (survey.nonce, survey.head, survey.time_s) == (5, 12, 1012)


def test_without_a_finalized_tag_depth_decides() -> None:
    untagged = view(finalized=None)
    assert Survey((untagged, untagged), 2).finalized(7) == 5


def test_a_laggard_alone_does_not_undo_a_block_and_two_other_blocks_do() -> None:
    laggard = view(head=3)
    other = view(hashes={10: "0xother"})
    assert not Survey((HONEST, laggard), 2).is_undone(10, "0xb10")
    assert not Survey((HONEST, other), 2).is_undone(10, "0xb10")
    assert Survey((HONEST, other, other), 2).is_undone(10, "0xb10")
    assert Survey((laggard, laggard), 2).is_undone(10, "0xb10"), "nobody has it any more"


def test_pending_is_never_below_what_is_mined() -> None:
    assert Survey((view(pending=3), view(pending=3)), 2).pending == 5
