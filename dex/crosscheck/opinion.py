"""Whether a second opinion agrees: hop by hop, because a second implementation quotes single pools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fractions import Fraction

from dex.pools import PoolSpec
from dex.routing.quote import Hop, Quote
from domain.errors import InputError, Refused

AmountOut = Callable[[PoolSpec, str, int], Awaitable[int]]
"""`UniswapPython.amount_out`, or anything that answers alike."""

_KINDS = frozenset({"v2", "v3"})


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody else says of a hop of ours, in raw units of its output."""

    hop: Hop
    theirs: int

    @property
    def disagreement_bps(self) -> Fraction:
        """How far we are apart, of theirs; exact."""
        return Fraction(abs(self.hop.amount_out - self.theirs) * 10_000, max(1, self.theirs))


async def opinion_on(amount_out: AmountOut, quote: Quote) -> list[Opinion]:
    """Ask about each hop of a quote that can be asked about.

    Those are swaps on V2 and V3 pools that the quote uses once: the second swap on a pool meets a state that no chain
    has yet.

    Raises:
        VenueUnavailable: It did not answer.
    """
    hops = [hop for path in quote.paths for hop in path.hops]
    uses = Counter(hop.pool.id for hop in hops)
    return [
        Opinion(hop, await amount_out(hop.pool, hop.token_in.id, hop.amount_in))
        for hop in hops
        if hop.pool.kind in _KINDS and uses[hop.pool.id] == 1
    ]


def ensure_agreement(opinions: list[Opinion], *, bound_bps: Fraction | int) -> None:
    """Refuse where an opinion differs by more than the bound.

    Raises:
        InputError: The bound is negative.
        Refused: One differs (`crosscheck`), or there is none at all: silence is no agreement.
    """
    if bound_bps < 0:
        raise InputError(f"the bound of disagreement must not be negative, found {bound_bps}")
    if not opinions:
        raise Refused(
            "no second opinion on any pool of this route",
            rule="crosscheck",
            hint="It covers V2 and V3 pools that a route uses once.",
        )
    for opinion in opinions:
        if opinion.disagreement_bps > bound_bps:
            raise Refused(
                f"pool {opinion.hop.pool.id}: we expect {opinion.hop.amount_out} for {opinion.hop.amount_in}, "
                f"uniswap-python {opinion.theirs}: {float(opinion.disagreement_bps):.2f} bps apart, "
                f"at most {float(bound_bps):.2f} are allowed",
                rule="crosscheck",
                hint="The pool moved since the quote, or one of the two is wrong: quote again before believing either.",
            )


async def check_quote(amount_out: AmountOut, quote: Quote, *, bound_bps: Fraction | int) -> list[Opinion]:
    """Ask about a quote and refuse disagreement; gives the opinions. Raises as the two above."""
    opinions = await opinion_on(amount_out, quote)
    ensure_agreement(opinions, bound_bps=bound_bps)
    return opinions
