"""A quote as commands of the UniversalRouter.

The sender pays tokens through Permit2 and coins along with the call. Paths are carried out in the quote's order, each
in runs of one kind of pool; what lies between two runs waits in the router and is taken up whole by the next. At the
end nothing is left there: coins come back by unwrapping, so that a log says how many (custody books by logs).

The calls of one route differ in their numbers only, so a route is encoded once, with marks for its numbers, and after
that filled in: 3 µs instead of 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dex.execution.contracts import SwapContracts
from dex.execution.permits import SignedPermit
from dex.execution.slippage import Bounds
from dex.execution.universal_router import ALL, COIN, TO_ROUTER, TO_SENDER, Commands, V4Pool
from dex.routing.quote import Hop, Path, Quote
from domain.assets import native_asset
from domain.errors import InputError, Refused

_MARK: Final = 0x7A1C_93E5_D04B_68F2_17BD_5C39 << 24
_TEMPLATES_MAX: Final = 4_096
KINDS: Final = frozenset({"v2", "v3", "v4"})


def encode_universal(
    quote: Quote, bounds: Bounds, contracts: SwapContracts, permit: SignedPermit | None = None
) -> bytes:
    """Give the call's data.

    Raises:
        InputError: There is no UniversalRouter, or nobody looked which.
        Refused: `unsupported-pool` for a pool it cannot reach, `mixed-exact-output` for an exact output over several
            kinds of pools, `route-loop` for a path that comes back to one of its ends.
    """
    if contracts.version is None or contracts.universal_router is None:
        raise InputError(f"chain {quote.chain_id}: there is no UniversalRouter whose version is known")
    numbers = [
        number
        for path, bound in zip(quote.paths, bounds.paths, strict=True)
        for number in (path.hops[0].amount_in, path.hops[-1].amount_out, bound)
    ]
    numbers += (bounds.amount_out_min, bounds.deadline_s)
    if permit is not None:
        return _Plan(quote, contracts, Commands(contracts.version), numbers).encode(permit)
    # By identity, which costs least and is safe as long as the template holds what it was made of.
    key = (
        quote.token_in.id,
        quote.token_out.id,
        quote.is_exact_out,
        contracts.wrapped,
        id(contracts.version),
        *[(id(hop.pool), hop.token_in.id) for path in quote.paths for hop in path.hops],
        *[len(path.hops) for path in quote.paths],
    )
    template = _TEMPLATES.get(key)
    if template is None:
        template = _TEMPLATES[key] = _template(quote, contracts, Commands(contracts.version), len(numbers))
        if len(_TEMPLATES) > _TEMPLATES_MAX:
            del _TEMPLATES[next(iter(_TEMPLATES))]
    return template.fill(numbers)


def needs_permit(quote: Quote) -> bool:
    """Whether the router is paid in tokens, which it takes through Permit2."""
    return quote.token_in.id != native_asset(quote.chain_id).id


@dataclass(frozen=True, slots=True)
class _Run:
    """Hops on pools of one kind, which one command carries out."""

    kind: str
    hops: tuple[Hop, ...]

    @property
    def tokens(self) -> list[str]:
        first = self.hops[0]
        return [first.pool.address_of(first.token_in.id), *(h.pool.address_of(h.token_out.id) for h in self.hops)]


@dataclass(slots=True)
class _Plan:
    quote: Quote
    contracts: SwapContracts
    commands: Commands
    numbers: list[int]
    """Of each path input, output and bound; then the least output of all, and the deadline."""
    ends_in_coins: bool = False
    begins_with_coins: bool = False

    def encode(self, permit: SignedPermit | None) -> bytes:
        if permit is not None:
            self.commands.permit(permit)
        for number, path in enumerate(self.quote.paths):
            amount_in, amount_out, bound = self.numbers[3 * number : 3 * number + 3]
            runs = _runs(path)
            self._check(path)
            if self.quote.is_exact_out:
                self._exact_out(runs, amount_out, bound)
            else:
                self._exact_in(runs, amount_in, bound)
        least, deadline_s = self.numbers[-2:]
        self._finish(least)
        return self.commands.encode(deadline_s)

    @property
    def _pays_coins(self) -> bool:
        return self.quote.token_in.id == native_asset(self.quote.chain_id).id

    @property
    def _gets_coins(self) -> bool:
        return self.quote.token_out.id == native_asset(self.quote.chain_id).id

    def _exact_in(self, runs: list[_Run], amount: int, least: int) -> None:
        from_sender = self._enter(runs[0], amount)
        for number, run in enumerate(runs):
            is_last = number == len(runs) - 1
            to = self._leave(run) if is_last else TO_ROUTER
            self._swap(run, (amount, least if is_last else 0), to=to, from_sender=from_sender and number == 0)
            if not is_last:
                self._between(run.tokens[-1], runs[number + 1].tokens[0])
            amount = ALL

    def _exact_out(self, runs: list[_Run], amount_out: int, most: int) -> None:
        if len(runs) != 1:
            raise Refused(
                "an exact output over pools of several kinds cannot be bounded in one transaction",
                rule="mixed-exact-output",
                hint="name the input instead, or leave a kind of pools out",
            )
        from_sender = self._enter(runs[0], most)
        self._swap(runs[0], (amount_out, most), to=self._leave(runs[0]), from_sender=from_sender)

    def _enter(self, run: _Run, amount: int) -> bool:
        """Have the input where the first run takes it; say whether that is with the sender."""
        takes_coins = run.tokens[0] == COIN
        if self._pays_coins:
            self.begins_with_coins |= takes_coins
            if not takes_coins:
                self.commands.wrap(TO_ROUTER, amount)
            return False
        if takes_coins:
            self.begins_with_coins = True
            self.commands.draw(self.contracts.wrapped, amount)
            self.commands.unwrap(TO_ROUTER, amount)
        return not takes_coins

    def _leave(self, run: _Run) -> str:
        """Say where the last run's output goes: to the sender, unless it has to be wrapped or unwrapped first."""
        gives_coins = run.tokens[-1] == COIN
        self.ends_in_coins |= gives_coins
        return TO_ROUTER if gives_coins or self._gets_coins else TO_SENDER

    def _between(self, given: str, taken: str) -> None:
        if given == COIN and taken != COIN:
            self.commands.wrap(TO_ROUTER, ALL)
        elif given != COIN and taken == COIN:
            self.commands.unwrap(TO_ROUTER, 0)

    def _finish(self, least: int) -> None:
        """Hand over what the router still holds."""
        if self._gets_coins:
            if self.ends_in_coins:
                self.commands.wrap(TO_ROUTER, ALL)
            self.commands.unwrap(TO_SENDER, least)
        elif self.ends_in_coins:
            self.commands.wrap(TO_SENDER, ALL)
        if not self.quote.is_exact_out:
            return
        # What an exact output did not need of its input.
        if self._pays_coins:
            if self.begins_with_coins:
                self.commands.wrap(TO_ROUTER, ALL)
            self.commands.unwrap(TO_SENDER, 0)
        elif self.begins_with_coins:
            self.commands.wrap(TO_SENDER, ALL)

    def _swap(self, run: _Run, amounts: tuple[int, int], *, to: str, from_sender: bool) -> None:
        exact_out = self.quote.is_exact_out
        if run.kind == "v2":
            self.commands.v2(run.tokens, amounts, to=to, from_sender=from_sender, exact_out=exact_out)
        elif run.kind == "v3":
            fees = [hop.pool.fee_pips for hop in run.hops]
            self.commands.v3(run.tokens, fees, amounts, to=to, from_sender=from_sender, exact_out=exact_out)
        else:
            pools = [
                V4Pool(source, target, hop.pool.fee_pips, hop.pool.tick_spacing, hop.pool.hooks)
                for hop, (source, target) in zip(run.hops, pairwise(run.tokens), strict=True)
            ]
            self.commands.v4(pools, amounts, to=to, from_sender=from_sender, exact_out=exact_out)

    def _check(self, path: Path) -> None:
        for hop in path.hops:
            if hop.pool.kind not in KINDS:
                raise Refused(
                    f"the UniversalRouter does not reach {hop.pool.kind} pool {hop.pool.id}", rule="unsupported-pool"
                )
        ends = {self._node(self.quote.token_in.id), self._node(self.quote.token_out.id)}
        for hop in path.hops[:-1]:
            if self._node(hop.token_out.id) in ends:
                raise Refused(f"a path comes back to {hop.token_out.symbol}", rule="route-loop")

    def _node(self, asset_id: str) -> str:
        """The coin and its wrapped form are one."""
        wrapped = f"eip155:{self.quote.chain_id}/erc20:{self.contracts.wrapped}"
        return wrapped if asset_id == native_asset(self.quote.chain_id).id else asset_id


@dataclass(frozen=True, slots=True)
class _Template:
    """A route's call with holes for its numbers, each of 16 bytes: V4 counts in no more."""

    pieces: tuple[bytes, ...]
    """What stands before, between and behind the holes."""
    slots: tuple[int, ...]
    """Which number goes into each hole."""
    made_of: tuple[object, ...]

    def fill(self, numbers: list[int]) -> bytes:
        try:
            words = [number.to_bytes(16, "big") for number in numbers]
        except OverflowError as exc:
            raise InputError("an amount of a swap has more than 128 bits, or is negative") from exc
        parts = list(self.pieces)
        for at, slot in enumerate(self.slots):
            parts[2 * at + 1] = words[slot]
        return b"".join(parts)


def _template(quote: Quote, contracts: SwapContracts, commands: Commands, count: int) -> _Template:
    # Marks no address, path or length can be; they differ, so that each hole tells its number.
    marks = [_MARK + number for number in range(count)]
    data = _Plan(quote, contracts, commands, marks).encode(None)
    pieces, slots, start = [], [], 0
    for at in range(4, len(data) - 31, 32):
        number = int.from_bytes(data[at : at + 32], "big") - _MARK
        if 0 <= number < count:
            pieces += [data[start : at + 16], b""]
            slots.append(number)
            start = at + 32
    pieces.append(data[start:])
    return _Template(tuple(pieces), tuple(slots), (contracts.version, *(h.pool for p in quote.paths for h in p.hops)))


def _runs(path: Path) -> list[_Run]:
    return list(_split(path))


def _split(path: Path) -> Iterator[_Run]:
    hops: list[Hop] = []
    for hop in path.hops:
        if hops and (hops[-1].pool.kind != hop.pool.kind or hops[-1].token_out.id != hop.token_in.id):
            yield _Run(hops[0].pool.kind, tuple(hops))
            hops = []
        hops.append(hop)
    yield _Run(hops[0].pool.kind, tuple(hops))


_TEMPLATES: dict[tuple[object, ...], _Template] = {}
