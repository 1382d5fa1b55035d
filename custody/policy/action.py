"""What is judged: one action, read from the bytes that would be signed. Rules know nothing else of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from custody.calls import DecodedCall, Descriptions, decode_call, decode_typed_data
from custody.calls.model import COIN
from domain import Address, ChainId, Refused, native_asset

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_NO_DESCRIPTORS: Final[Descriptions] = MappingProxyType({})


def _nothing() -> Mapping[str, int]:
    return _NOTHING


class Kind(StrEnum):
    """What a signature would do."""

    TRANSFER = "transfer"
    SWAP = "swap"
    APPROVE = "approve"
    CALL = "contract-call"
    SAFE = "safe"
    DESCRIBED = "described-call"
    """Read by an ERC-7730 descriptor: its arguments have names, its effects are not known."""
    MESSAGE = "message"
    TYPED_DATA = "typed-data"
    AUTHORIZATION = "authorization-7702"
    WITHDRAWAL = "exchange-withdrawal"


BY_NAME_ONLY: Final = frozenset({Kind.SAFE, Kind.DESCRIBED, Kind.MESSAGE, Kind.TYPED_DATA, Kind.AUTHORIZATION})
"""An allow rule that names no kinds does not mean these: their effects lie outside what the bytes say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A transaction as policy sees it: its own bytes, no promises. Gas and fee are 0 while it has no price yet."""

    chain_id: ChainId
    sender: Address
    to: Address
    value_wei: int
    data: bytes
    gas_limit: int = 0
    fee_per_gas_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that would be signed, in the words of the rules."""

    kind: Kind
    chain: int
    """Chain id; 0 where no chain is named (a personal message, a withdrawal from an exchange)."""
    sender: str
    """The vault's own address, or the exchange's name."""
    venue: str | None = None
    contract: str | None = None
    """Who is called; None for coins, messages and withdrawals."""
    method: str | None = None
    """The decoded method's name; for typed data its primary type."""
    selector: str | None = None
    """`0x` and eight hex digits."""
    recipients: tuple[str, ...] = ()
    spenders: tuple[str, ...] = ()
    spends: Mapping[str, int] = field(default_factory=_nothing)
    approves: Mapping[str, int] = field(default_factory=_nothing)
    receives_min: Mapping[str, int] = field(default_factory=_nothing)
    deadline_s: int = 0
    gas_limit: int = 0
    fee_per_gas_wei: int = 0
    call: DecodedCall | None = None
    parties: frozenset[Address] = frozenset()
    """Everyone who takes part besides the sender: what screening must see."""

    @property
    def is_swap(self) -> bool:
        """Whether it is bound as a swap: also one that carries a permit, which is a contract call by its kind."""
        return self.kind is Kind.SWAP or (self.kind is Kind.CALL and bool(self.receives_min))


def read_proposal(proposal: Proposal, descriptors: Descriptions = _NO_DESCRIPTORS) -> Action:
    """Decode a transaction.

    Raises:
        Refused: The bytes cannot be read completely (see `decode_call`), or coins are sent along that the call does not
            use (rule `value`).
    """
    chain, native = proposal.chain_id, native_asset(proposal.chain_id).id
    if not proposal.data:
        return Action(
            kind=Kind.TRANSFER,
            chain=chain,
            sender=proposal.sender,
            recipients=(proposal.to,),
            spends={native: proposal.value_wei},
            gas_limit=proposal.gas_limit,
            fee_per_gas_wei=proposal.fee_per_gas_wei,
            parties=frozenset({proposal.to} - {proposal.sender}),
        )
    call = decode_call(
        proposal.sender,
        proposal.to,
        proposal.data,
        chain_id=proposal.chain_id,
        value_wei=proposal.value_wei,
        descriptors=descriptors,
    )
    if proposal.value_wei != call.coins_wei:
        raise Refused(
            f"{call.method} uses {call.coins_wei} wei of coins, {proposal.value_wei} are sent along", rule="value"
        )
    calls = tuple(_all_calls(call))
    spends = _assets(chain, call.spends)
    if call.coins_wei:
        spends[native] = spends.get(native, 0) + call.coins_wei
    return Action(
        kind=_kind(call),
        chain=chain,
        sender=proposal.sender,
        contract=proposal.to,
        method=call.method,
        selector="0x" + proposal.data[:4].hex(),
        recipients=_distinct(part.recipient for part in calls),
        spenders=_distinct(part.spender for part in calls),
        spends=spends,
        approves=_assets(chain, call.approves),
        receives_min=_assets(chain, call.receives_min),
        deadline_s=call.deadline_s,
        gas_limit=proposal.gas_limit,
        fee_per_gas_wei=proposal.fee_per_gas_wei,
        call=call,
        parties=_parties(proposal.sender, proposal.to, calls),
    )


def read_message(sender: Address, content: bytes) -> Action:
    """Describe a personal message. What it says is not understood: only its kind and its signer can be judged."""
    return Action(kind=Kind.MESSAGE, chain=0, sender=sender, method=None if content else "empty")


def read_typed_data(sender: Address, document: Mapping[str, Any]) -> Action:
    """Decode an EIP-712 document: who would accept the signature, and what it permits.

    Raises:
        Refused: See `decode_typed_data`.
    """
    decoded = decode_typed_data(sender, document)
    call, chain = decoded.call, decoded.chain_id
    calls = tuple(_all_calls(call))
    return Action(
        kind=Kind.TYPED_DATA,
        chain=chain,
        sender=sender,
        contract=decoded.contract,
        method=call.method,
        recipients=_distinct(part.recipient for part in calls),
        spenders=_distinct(part.spender for part in calls),
        spends=_assets(chain, call.spends),
        approves=_assets(chain, call.approves),
        receives_min=_assets(chain, call.receives_min),
        deadline_s=call.deadline_s,
        call=call,
        parties=_parties(sender, decoded.contract, calls),
    )


def read_authorization(sender: Address, *, chain_id: int, delegate: Address) -> Action:
    """Describe an EIP-7702 authorization: the delegate is the contract that may then do anything for the account."""
    return Action(
        kind=Kind.AUTHORIZATION, chain=chain_id, sender=sender, contract=delegate, parties=frozenset({delegate})
    )


def read_withdrawal(*, venue: str, asset: str, raw: int, address: str) -> Action:
    """Describe a withdrawal from an exchange: `asset` is the venue's asset id, `raw` counts its smallest unit."""
    return Action(kind=Kind.WITHDRAWAL, chain=0, sender=venue, venue=venue, recipients=(address,), spends={asset: raw})


def _kind(call: DecodedCall) -> Kind:
    if call.is_described:
        return Kind.DESCRIBED
    if call.method == "execTransaction":
        return Kind.SAFE
    if call.approves:
        # What gives an allowance and does something else besides is neither of the two simple things.
        return Kind.CALL if call.spends or call.receives_min else Kind.APPROVE
    if call.receives_min:
        return Kind.SWAP
    return Kind.TRANSFER if call.method in ("transfer", "transferFrom") else Kind.CALL


def _all_calls(call: DecodedCall) -> Iterator[DecodedCall]:
    yield call
    for _, inner in call.inner:
        yield from _all_calls(inner)


def _distinct(addresses: Iterable[Address | None]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(address for address in addresses if address is not None))


def _assets(chain: int, amounts: Mapping[Address, int]) -> dict[str, int]:
    return {asset_of(chain, token): raw for token, raw in amounts.items()}


def _parties(sender: Address, to: Address, calls: tuple[DecodedCall, ...]) -> frozenset[Address]:
    parties = {to}
    for call in calls:
        parties.update(call.spends, call.receives_min, call.others, (to for to, _ in call.inner))
        parties.update(address for address in (call.recipient, call.spender) if address is not None)
    return frozenset(parties - {sender})


def asset_of(chain: int, token: Address) -> str:
    """Name the asset of a token's contract, or of the chain's own coin (`COIN`)."""
    return native_asset(ChainId(chain)).id if token == COIN else f"eip155:{chain}/erc20:{token}"
