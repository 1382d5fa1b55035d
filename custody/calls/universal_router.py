"""Uniswap's UniversalRouter: a list of commands, read as one whole.

Steps may leave something with the router for the next ones (wrapped coins, the middle of a route over several kinds of
pools). So the commands are followed from first to last with what the router holds by then: what the bytes do not fix is
refused, and so is everything that would stay there at the end, where anyone takes it. Coins go back to the caller by
unwrapping only, because that leaves a log which says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, canonical, unsafe
from custody.calls.holdings import Held, Holdings
from custody.calls.model import COIN, NOTHING, DecodedCall, Kind, Shown, joined
from custody.calls.permit2 import SINGLE, allowances
from custody.calls.uniswap import pool_fee, v3_path
from custody.calls.v4_swaps import V4Hop, read_v4_swap
from custody.calls.wrapped import wrapped_coin
from domain import Address, Refused

_ALLOW_REVERT: Final = 0x80
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_ROUTER_ITSELF: Final = "0x0000000000000000000000000000000000000002"
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_CONTRACT_BALANCE: Final = 1 << 255
_COMMANDS_MAX: Final = 24


def _execute(values: Values, place: Place) -> DecodedCall:
    commands, inputs, deadline = values
    if len(commands) != len(inputs) or not 0 < len(commands) <= _COMMANDS_MAX:
        raise unsafe(f"1 to {_COMMANDS_MAX} commands with an input each are read")
    program = _Program(place)
    for code, content in zip(commands, inputs, strict=True):
        if code & _ALLOW_REVERT:
            raise unsafe("a command that may fail silently")
        command = _COMMANDS.get(code)
        if command is None:
            raise unsafe(f"router command 0x{code:02x} is not read")
        command(program, content)
    return program.read(deadline)


@dataclass(slots=True)
class _Swap:
    """One swap of any kind, in words that the three kinds share."""

    version: str
    tokens: tuple[Address, ...]
    amount_in: int | None
    amount_out: int
    is_exact_out: bool
    is_paid_by_caller: bool
    recipient: str
    pools: tuple[Shown, ...] = ()
    hooks: frozenset[Address] = frozenset()


@dataclass(slots=True)
class _Program:
    """The commands up to here."""

    place: Place
    holdings: Holdings = field(default_factory=Holdings)
    spends: dict[Address, int] = field(default_factory=dict)
    receives: dict[Address, int] = field(default_factory=dict)
    recipients: set[Address] = field(default_factory=set)
    parts: list[DecodedCall] = field(default_factory=list)
    swaps: int = 0
    unwrapped_within: int = 0
    is_refunded: bool = False

    def __post_init__(self) -> None:
        if self.place.value_wei:
            self.holdings.put(COIN, Held(self.place.value_wei, is_exact=True, is_rest=True))

    # --- commands

    def permit(self, content: bytes) -> None:
        (details, spender, sig_deadline), _signature = canonical("PERMIT2_PERMIT", (SINGLE, "bytes"), content)
        if checksum(spender) != self.place.to:
            raise unsafe("a permit goes to the router itself")
        self.parts.append(allowances("permit", [details], spender, sig_deadline=sig_deadline))

    def draw(self, content: bytes) -> None:
        token, recipient, amount = canonical("PERMIT2_TRANSFER_FROM", ("address", "address", "uint160"), content)
        if self._owner(recipient) is not None or amount == 0:
            raise unsafe("tokens are drawn into the router itself, to be swapped there")
        at = checksum(token)
        self._spend(at, amount)
        self.holdings.put(at, Held(amount, is_exact=True, is_rest=True))
        self._say("Draw tokens to be swapped", _amount("Pay", at, amount))

    def wrap(self, content: bytes) -> None:
        recipient, amount = canonical("WRAP_ETH", ("address", "uint256"), content)
        if amount == _CONTRACT_BALANCE:
            held = self.holdings.take_all(COIN)
            shown = Shown("Amount", Kind.WORDS, "all coins it holds by then")
        else:
            if amount == 0:
                raise unsafe("wrapping nothing")
            held, shown = self.holdings.take(COIN, amount), _amount("Amount", COIN, amount)
        self._say("Wrap coins into tokens", shown, to=self._deliver(recipient, wrapped_coin(self.place.chain_id), held))

    def unwrap(self, content: bytes) -> None:
        recipient, least = canonical("UNWRAP_WETH", ("address", "uint256"), content)
        held = self.holdings.take_all(wrapped_coin(self.place.chain_id))
        if self.is_refunded:
            raise unsafe("coins go back to the caller once, at the end")
        owner = self._owner(recipient)
        if owner is None:
            self.unwrapped_within += 1
        elif owner == self.place.sender:
            self.is_refunded = True
        else:
            raise unsafe("coins go back to the caller and nobody else")
        held = Held(max(held.minimum, least), held.is_exact, held.is_rest)
        self._say(
            "Unwrap tokens into coins", _amount("At least", COIN, held.minimum), to=self._deliver(recipient, COIN, held)
        )

    def sweep(self, content: bytes) -> None:
        token, recipient, least = canonical("SWEEP", ("address", "address", "uint256"), content)
        if token == _ZERO:
            # No log says how many coins were swept.
            raise unsafe("coins go back by unwrapping, not by a sweep")
        if self._owner(recipient) is None:
            raise unsafe("a sweep into the router itself")
        held = self.holdings.take_all(checksum(token))
        held = Held(max(held.minimum, least), held.is_exact, held.is_rest)
        self._say(
            "Hand over what the router holds",
            _amount("At least", checksum(token), held.minimum),
            to=self._deliver(recipient, checksum(token), held),
        )

    def v2_in(self, content: bytes) -> None:
        recipient, amount_in, least, path, is_paid_by_caller, *_ = _read("V2_SWAP_EXACT_IN", "address[]", content)
        tokens = tuple(checksum(token) for token in path)
        self._swap(_Swap("V2", tokens, amount_in, least, False, is_paid_by_caller, recipient))

    def v2_out(self, content: bytes) -> None:
        recipient, amount_out, most, path, is_paid_by_caller, *_ = _read("V2_SWAP_EXACT_OUT", "address[]", content)
        tokens = tuple(checksum(token) for token in path)
        self._swap(_Swap("V2", tokens, most, amount_out, True, is_paid_by_caller, recipient))

    def v3_in(self, content: bytes) -> None:
        recipient, amount_in, least, packed, is_paid_by_caller, *_ = _read("V3_SWAP_EXACT_IN", "bytes", content)
        tokens, fees = v3_path(packed)
        pools = tuple(map(pool_fee, fees))
        self._swap(_Swap("V3", tokens, amount_in, least, False, is_paid_by_caller, recipient, pools))

    def v3_out(self, content: bytes) -> None:
        recipient, amount_out, most, packed, is_paid_by_caller, *_ = _read("V3_SWAP_EXACT_OUT", "bytes", content)
        tokens, fees = v3_path(packed)
        # The path of an exact output begins at its end.
        pools = tuple(map(pool_fee, reversed(fees)))
        self._swap(_Swap("V3", tokens[::-1], most, amount_out, True, is_paid_by_caller, recipient, pools))

    def v4(self, content: bytes) -> None:
        swap = read_v4_swap(content)
        self._swap(
            _Swap(
                "V4",
                (swap.token_in, *(hop.token_out for hop in swap.hops)),
                # In V4's own words "all" is None already; 0 and the marks of V2 and V3 were refused there.
                _CONTRACT_BALANCE if swap.amount_in is None else swap.amount_in,
                swap.amount_out,
                swap.is_exact_out,
                swap.is_paid_by_caller,
                swap.recipient,
                tuple(shown for hop in swap.hops for shown in _v4_pool(hop)),
                frozenset(hop.hooks for hop in swap.hops if hop.hooks != _ZERO),
            )
        )

    # --- the whole

    def read(self, deadline_s: int) -> DecodedCall:
        """Say what all of it does together.

        Raises:
            Refused: Rule `unsafe-call`.
        """
        if not self.swaps:
            raise unsafe("no swap among the commands")
        self.holdings.check_empty()
        if len(self.recipients) != 1:
            raise unsafe("swaps have one recipient")
        spenders = {part.spender for part in self.parts if part.spender is not None}
        (recipient,) = self.recipients
        return DecodedCall(
            "execute",
            spends=MappingProxyType(dict(self.spends)),
            receives_min=MappingProxyType(dict(self.receives)),
            approves=joined(*(part.approves for part in self.parts)),
            recipient=recipient,
            spender=next(iter(spenders), None),
            deadline_s=deadline_s,
            coins_wei=self.place.value_wei,
            action="Swap on Uniswap through the UniversalRouter",
            shown=(
                *((Shown("Coins sent", Kind.COINS, self.place.value_wei),) if self.place.value_wei else ()),
                Shown("Valid until", Kind.DATE, deadline_s),
            ),
            inner=tuple((self.place.to, part) for part in self.parts),
            others=frozenset[Address]().union(*(part.others for part in self.parts)),
            coins_back=self.unwrapped_within if self.is_refunded else None,
        )

    def _swap(self, swap: _Swap) -> None:
        tokens, token_in, token_out = swap.tokens, swap.tokens[0], swap.tokens[-1]
        if len(tokens) < 2 or token_in == token_out:
            raise unsafe("a swap's path has two ends that differ")
        amount_in = swap.amount_in or 0
        if amount_in == 0 or swap.amount_out >= _CONTRACT_BALANCE:
            raise unsafe("a swap of nothing, or of an amount that the bytes do not say")
        is_all = amount_in == _CONTRACT_BALANCE
        if swap.is_paid_by_caller:
            if is_all:
                raise unsafe("a swap of what the router holds, paid by the caller")
            self._spend(token_in, amount_in)
        elif is_all:
            if swap.is_exact_out:
                raise unsafe("an exact output has a most that is paid")
            self.holdings.take_all(token_in)
        elif swap.is_exact_out:
            self.holdings.take_up_to(token_in, amount_in)
        else:
            self.holdings.take(token_in, amount_in)
        self.swaps += 1
        to = self._deliver(swap.recipient, token_out, Held(swap.amount_out, is_exact=swap.is_exact_out))
        pay = Shown("Pay", Kind.WORDS, f"all it holds of {token_in}")
        if not is_all:
            pay = _amount("Pay at most" if swap.is_exact_out else "Pay", token_in, amount_in)
        self._say(
            f"Swap on Uniswap {swap.version}",
            pay,
            *(Shown("Through", Kind.TOKEN, token) for token in tokens[1:-1] if token != COIN),
            _amount("Receive", token_out, swap.amount_out, is_minimum=not swap.is_exact_out),
            *swap.pools,
            to=to,
            others=frozenset(tokens[1:-1]) - {COIN} | swap.hooks,
        )

    def _spend(self, token: Address, amount: int) -> None:
        self.spends[token] = self.spends.get(token, 0) + amount

    def _owner(self, recipient: str) -> Address | None:
        """Who that is; None for the router itself."""
        if recipient == _MSG_SENDER:
            return self.place.sender
        if recipient == _ZERO:
            raise unsafe("the proceeds would go to nobody")
        at = checksum(recipient)
        return None if recipient == _ROUTER_ITSELF or at == self.place.to else at

    def _deliver(self, recipient: str, token: Address, held: Held) -> Address | None:
        owner = self._owner(recipient)
        if owner is None:
            self.holdings.put(token, held)
            return None
        if token == COIN and not self.is_refunded:
            # A swap that pays coins out leaves no log that says how many.
            raise unsafe("coins go back by unwrapping, not from a pool")
        self.recipients.add(owner)
        # What comes back of an input that is counted as spent whole is no proceeds.
        if held.minimum or not held.is_rest:
            self.receives[token] = self.receives.get(token, 0) + held.minimum
        return owner

    def _say(
        self, action: str, *shown: Shown, to: Address | None = None, others: frozenset[Address] = frozenset()
    ) -> None:
        place = (
            Shown("Recipient", Kind.ADDRESS, to)
            if to is not None
            else Shown("Recipient", Kind.WORDS, "the router, for the next step")
        )
        self.parts.append(
            DecodedCall(
                "execute", NOTHING, NOTHING, NOTHING, recipient=to, action=action, shown=(*shown, place), others=others
            )
        )


def _read(what: str, path: str, content: bytes) -> Values:
    """Read a V2 or V3 swap; routers since 2.1.1 take a bound for each hop besides, which must be empty."""
    types = ("address", "uint256", "uint256", path, "bool")
    try:
        return canonical(what, types, content)
    except Refused:
        values = canonical(what, (*types, "uint256[]"), content)
        if values[-1]:
            raise unsafe("bounds of single hops are not read") from None
        return values


def _v4_pool(hop: V4Hop) -> tuple[Shown, ...]:
    hooks = (Shown("Pool's hooks", Kind.ADDRESS, hop.hooks),) if hop.hooks != _ZERO else ()
    return (pool_fee(hop.fee_pips), Shown("Tick spacing", Kind.NUMBER, hop.tick_spacing), *hooks)


def _amount(label: str, token: Address, raw: int, *, is_minimum: bool = False) -> Shown:
    if token == COIN:
        return Shown(f"{label} at least" if is_minimum else label, Kind.COINS, raw)
    return Shown(label, Kind.TOKEN_MINIMUM if is_minimum else Kind.TOKEN_AMOUNT, raw, token)


_COMMANDS: Final[Mapping[int, Callable[[_Program, bytes], None]]] = MappingProxyType(
    {
        0x00: _Program.v3_in,
        0x01: _Program.v3_out,
        0x02: _Program.draw,
        0x04: _Program.sweep,
        0x08: _Program.v2_in,
        0x09: _Program.v2_out,
        0x0A: _Program.permit,
        0x0B: _Program.wrap,
        0x0C: _Program.unwrap,
        0x10: _Program.v4,
    }
)
METHODS: Final = (Method("execute", ("bytes", "bytes[]", "uint256"), _execute),)
