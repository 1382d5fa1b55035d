"""What routing hands over, what is encoded and what custody reads are one thing, whatever the route."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chain import keccak256
from custody.calls import decode_call
from custody.calls.model import COIN
from dex.execution import universal_plan
from dex.execution.contracts import RouterVersion, SwapContracts, code_digest
from dex.execution.permits import Permit, SignedPermit
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through, choose_way, plan_quote
from dex.execution.universal_plan import encode_universal
from dex.execution.universal_router import Commands
from dex.pools import ZERO_ADDRESS, PoolSpec
from dex.routing.quote import Hop, Path, Quote
from domain import Address, ChainId, InputError, Refused, native_asset, token_asset
from domain.ids import PoolId

CHAIN = ChainId(1337)
WETH = Address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")


def address(name):
    from chain import checksum

    return checksum("0x" + keccak256(name.encode())[:20].hex())


ADDRESSES = {"ETH": ZERO_ADDRESS, "WETH": WETH, **{name: address(name) for name in ("A", "B", "C")}}
ASSETS = {name: token_asset(CHAIN, at, name, 18) for name, at in ADDRESSES.items()} | {"ETH": native_asset(CHAIN)}
OWNER, ROUTER = address("owner"), address("router")
CONTRACTS = SwapContracts(
    wrapped=WETH,
    universal_router=ROUTER,
    version=RouterVersion.V2_1,
    permit2=address("permit2"),
    swap_router=address("swap router"),
)


def pool(kind, a, b, fee):
    """A pool of two tokens; of V4 with the coin in the place of its wrapped form where the fee is odd."""
    if kind == "v4" and fee % 2:
        a, b = ("ETH" if name == "WETH" else name for name in (a, b))
    first, second = sorted((a, b), key=lambda name: int(ADDRESSES[name], 16))
    return PoolSpec(
        id=PoolId(f"{kind}:{first}/{second}:{fee}"),
        kind=kind,
        address=address(f"{kind}{first}{second}{fee}"),
        chain_id=CHAIN,
        token0=ASSETS[first],
        token1=ASSETS[second],
        token0_address=ADDRESSES[first],
        token1_address=ADDRESSES[second],
        fee_pips=fee,
        tick_spacing=10,
    )


@st.composite
def quotes(draw, *, exact_out=None):
    """Quotes of 1 to 3 paths with 1 to 3 hops over any kinds; amounts are arbitrary, as for the encoder they are."""
    ends = draw(st.permutations(["WETH", "A", "B", "C"]))
    source, target, *others = ends
    is_exact_out = draw(st.booleans()) if exact_out is None else exact_out
    amounts = st.integers(1, 10**24)
    paths = []
    for _ in range(draw(st.integers(1, 3))):
        through = draw(st.lists(st.sampled_from(others), max_size=2, unique=True))
        nodes = [source, *through, target]
        one_kind = draw(st.sampled_from(["v2", "v3", "v4"])) if is_exact_out else None
        numbers = [draw(amounts) for _ in nodes]
        hops = []
        for at, (a, b) in enumerate(itertools.pairwise(nodes)):
            # An exact output over several kinds is refused: then the kind and the coin's form stay.
            kind = one_kind or draw(st.sampled_from(["v2", "v3", "v4"]))
            fee = draw(st.sampled_from([500, 501, 3000])) if one_kind is None else 501
            spec = pool(kind, a, b, fee)
            sides = [next(x for x in spec.tokens if x[0].symbol in (n, {"WETH": "ETH"}.get(n, n)))[0] for n in (a, b)]
            hops.append(Hop(spec, sides[0], sides[1], numbers[at], numbers[at + 1]))
        paths.append(Path(tuple(hops)))
    pick = {"WETH": draw(st.sampled_from(["WETH", "ETH"]))}
    return Quote(
        id="q",
        chain_id=CHAIN,
        block_number=1,
        block_hash="0x01",
        token_in=ASSETS[pick.get(source, source)],
        token_out=ASSETS[pick.get(target, target)],
        amount_in=sum(path.amount_in for path in paths),
        amount_out=sum(path.amount_out for path in paths),
        is_exact_out=is_exact_out,
        paths=tuple(paths),
        mid_price=Fraction(1, 10**30),
        gas_units=0,
        gas_cost=0,
    )


def planned(quote, bps=50):
    try:
        bounds = SlippagePolicy(tolerance_bps=bps).bounds(quote, head_number=1, time_s=1_800_000_000)
    except Refused:  # Less than a unit for a path.
        assume(False)
    way = choose_way(quote, CONTRACTS, Through.UNIVERSAL_ROUTER)
    return bounds, plan_quote(quote, bounds, way, CONTRACTS, intent_id="i", strategy="s", sender=OWNER)


def by_asset(amounts):
    return {
        native_asset(CHAIN).id if token == COIN else f"eip155:{CHAIN}/erc20:{token}": raw
        for token, raw in amounts.items()
    }


@settings(max_examples=150)
@given(quotes(), st.integers(0, 500))
def test_custody_reads_exactly_what_the_plan_promises(quote, bps):
    bounds, plan = planned(quote, bps)
    call = decode_call(OWNER, plan.to, plan.data, chain_id=CHAIN, value_wei=plan.value_wei)
    spends = by_asset(call.spends)
    if call.coins_wei:
        spends[native_asset(CHAIN).id] = call.coins_wei
    assert spends == {quote.token_in.id: bounds.amount_in_max}
    assert by_asset(call.receives_min) == {quote.token_out.id: bounds.amount_out_min}
    assert (call.recipient, call.deadline_s, dict(call.approves)) == (OWNER, bounds.deadline_s, {})


@settings(max_examples=100)
@given(quotes(), st.data())
def test_a_template_gives_what_encoding_anew_gives(quote, data):
    def scaled(path):
        factor = data.draw(st.integers(2, 10**6))
        hops = [replace(h, amount_in=h.amount_in * factor, amount_out=h.amount_out * factor) for h in path.hops]
        return Path(tuple(hops))

    first, _ = planned(quote)
    encode_universal(quote, first, CONTRACTS)
    paths = tuple(map(scaled, quote.paths))
    again = replace(
        quote,
        paths=paths,
        amount_in=sum(path.amount_in for path in paths),
        amount_out=sum(path.amount_out for path in paths),
    )
    bounds, _ = planned(again)
    filled = encode_universal(again, bounds, CONTRACTS)
    universal_plan._TEMPLATES.clear()
    assert filled == encode_universal(again, bounds, CONTRACTS)
    numbers = [n for p, b in zip(paths, bounds.paths, strict=True) for n in (p.amount_in, p.amount_out, b)]
    numbers += (bounds.amount_out_min, bounds.deadline_s)
    anew = universal_plan._Plan(again, CONTRACTS, Commands(RouterVersion.V2_1), numbers)
    assert filled == anew.encode(None)


@settings(max_examples=150)
@given(quotes(), st.data())
def test_no_byte_changes_without_changing_what_custody_reads(quote, data):
    _, plan = planned(quote)
    before = decode_call(OWNER, plan.to, plan.data, chain_id=CHAIN, value_wei=plan.value_wei)
    changed = bytearray(plan.data)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        after = decode_call(OWNER, plan.to, bytes(changed), chain_id=CHAIN, value_wei=plan.value_wei)
    except Refused:
        return
    assert after != before


@given(quotes(exact_out=False))
def test_coins_sent_along_are_used_up_or_it_is_refused(quote):
    """Where a step takes all coins that are there, one wei more goes with them; it counts as spent all the same."""
    _, plan = planned(quote)
    value = plan.value_wei + 1
    try:
        call = decode_call(OWNER, plan.to, plan.data, chain_id=CHAIN, value_wei=value)
    except Refused:
        return
    assert call.coins_wei == value
    assert any("ETH" in (hop.token_in.symbol, hop.token_out.symbol) for path in quote.paths for hop in path.hops)


def test_every_version_of_the_router_is_read():
    hops = (Hop(pool("v3", "A", "B", 500), ASSETS["A"], ASSETS["B"], 10, 9),)
    four = (Hop(pool("v4", "A", "B", 500), ASSETS["A"], ASSETS["B"], 10, 9),)
    quote = Quote(
        "q", CHAIN, 1, "0x", ASSETS["A"], ASSETS["B"], 20, 18, False, (Path(hops), Path(four)), Fraction(1), 0, 0
    )
    bounds = SlippagePolicy().bounds(quote, head_number=1, time_s=5)
    calls = [encode_universal(quote, bounds, replace(CONTRACTS, version=version)) for version in RouterVersion]
    assert len(set(calls)) == len(RouterVersion)
    for data in calls:
        assert dict(decode_call(OWNER, ROUTER, data, chain_id=CHAIN).spends) == {ADDRESSES["A"]: 20}


def test_a_permit_must_be_for_this_swap():
    path = Path((Hop(pool("v3", "A", "B", 500), ASSETS["A"], ASSETS["B"], 10, 9),))
    quote = Quote("q", CHAIN, 1, "0x", ASSETS["A"], ASSETS["B"], 10, 9, False, (path,), Fraction(1), 0, 0)
    bounds = SlippagePolicy().bounds(quote, head_number=1, time_s=5)
    way = choose_way(quote, CONTRACTS, Through.UNIVERSAL_ROUTER)

    def plan(**changes):
        fields = {
            "chain_id": CHAIN,
            "token": ADDRESSES["A"],
            "amount": 10,
            "spender": ROUTER,
            "nonce": 0,
            "expires_s": 99,
        }
        permit = SignedPermit(Permit(**(fields | changes)), b"s" * 65)
        return plan_quote(quote, bounds, way, CONTRACTS, intent_id="i", strategy="s", sender=OWNER, permit=permit)

    assert plan().approves[0].raw == 10
    for wrong in ({"amount": 11}, {"spender": OWNER}, {"token": ADDRESSES["B"]}):
        with pytest.raises(InputError, match="the permit is for another"):
            plan(**wrong)
    for wrong in ({"amount": 0}, {"amount": (1 << 160) - 1}, {"expires_s": 0}, {"nonce": 1 << 48}):
        with pytest.raises(InputError):
            plan(**wrong)
    huge = Path((replace(path.hops[0], amount_in=1 << 128),))
    more = replace(quote, amount_in=1 << 128, paths=(huge,), mid_price=Fraction(9, 1 << 128))
    large = SlippagePolicy().bounds(more, head_number=1, time_s=5)
    with pytest.raises(InputError, match="128 bits"):
        encode_universal(more, large, CONTRACTS)


def test_immutables_do_not_change_what_a_contract_is():
    code = bytes.fromhex("6001" + "7f" + "11" * 32 + "5f" + "60aa")
    other = bytes.fromhex("6001" + "7f" + "22" * 32 + "5f" + "60aa")
    assert code_digest(code) == code_digest(other)
    assert code_digest(code) != code_digest(code[:-1] + b"\xab")
    # 0x7f within another constant is no constant of its own.
    assert code_digest(bytes.fromhex("617f11")) != code_digest(bytes.fromhex("617f22"))
