"""What stands in a swap's way, by name, before anything is signed or sent.

Two looks: at what the account holds and has allowed (one round trip, a pure comparison), and at what the very call
would do now (a simulation, with the approvals that are still to come made first). A cause that an approval or a permit
mends is marked so; any other one is a reason not to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chain import Call, ChainClient, NodeRefused
from chain.abi import address_word, selector, uint_at, uint_word
from chain.reverts import Revert
from chain.simulation import SimulatedBlock, SimulatedCall, simulate
from dex.execution.contracts import PERMIT2
from dex.execution.permits import SignedPermit
from dex.execution.planning import APPROVE
from dex.execution.swaps import Way
from domain.errors import InputError
from domain.ids import Address
from domain.plans import TransactionPlan

_ALLOWANCE: Final = selector("allowance(address,address)")
_PERMIT2_ALLOWANCE: Final = selector("allowance(address,address,address)")
_BALANCE: Final = selector("balanceOf(address)")
_PERMIT2_APPROVE: Final = selector("approve(address,address,uint160,uint48)")


class Cause(StrEnum):
    """Why a swap cannot go, or not yet."""

    BALANCE = "insufficient-balance"
    COINS = "insufficient-coins"
    ALLOWANCE = "allowance-too-small"
    PERMIT_MISSING = "permit-too-small"
    PERMIT_EXPIRED = "allowance-expired"
    PERMIT_NONCE = "wrong-permit-nonce"
    PERMIT_SIGNATURE = "wrong-permit-signature"
    PERMIT_LATE = "permit-signature-expired"
    DEADLINE = "deadline-passed"
    POOL_MOVED = "pool-moved"
    TOKEN_PAUSED = "token-paused"
    TOKEN_REFUSES = "token-refuses"
    NO_CONTRACT = "no-contract"
    REVERTS = "reverts"


MENDABLE: Final = frozenset({Cause.ALLOWANCE, Cause.PERMIT_MISSING, Cause.PERMIT_EXPIRED})
"""What an approval or a permit puts right."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One cause, in words, with what helps."""

    cause: Cause
    text: str
    hint: str = ""

    @property
    def is_mendable(self) -> bool:
        return self.cause in MENDABLE


@dataclass(frozen=True, slots=True)
class AccountState:
    """What an account holds and has allowed, as far as one swap asks. Raw units; times are the chain's."""

    head_number: int
    time_s: int
    """The next block's, as the node would set it now: the newest one's may be long ago where nothing happens."""
    coins_wei: int
    balance: int = 0
    """Of the token that is paid; 0 where coins are."""
    allowance: int = 0
    """The contract's, or Permit2's, on the token."""
    permitted: int = 0
    """The router's, through Permit2."""
    permitted_until_s: int = 0
    permit_nonce: int = 0
    """The next one that Permit2 takes of this owner, token and router."""


async def read_account(client: ChainClient, owner: Address, token: Address | None, way: Way) -> AccountState:
    """Read what a swap of `token` (None: of coins) needs to know, in one round trip."""
    asked: list[tuple[str, list[Any]]] = [
        ("eth_getBlockByNumber", ["latest", False]),
        ("eth_getBlockByNumber", ["pending", False]),
        ("eth_getBalance", [owner, "latest"]),
    ]
    if token is not None and way.spender is not None:
        me, spender = address_word(owner), address_word(way.spender)
        asked.append(_question(token, _BALANCE + me))
        asked.append(_question(token, _ALLOWANCE + me + spender))
        if way.needs_permit:
            asked.append(_question(PERMIT2, _PERMIT2_ALLOWANCE + me + address_word(token) + address_word(way.contract)))
    head, pending, coins, *rest = await client.batch(asked)
    if isinstance(head, NodeRefused) or isinstance(coins, NodeRefused):
        raise head if isinstance(head, NodeRefused) else coins
    newest_s = int(head["timestamp"], 16)
    # Not every node has a pending block.
    has_next = isinstance(pending, dict) and pending.get("timestamp")
    for answer in rest:
        if isinstance(answer, NodeRefused):
            raise InputError(f"{token} answers no questions of an ERC-20 token: {answer}") from answer
    words = [bytes.fromhex(answer[2:]) for answer in rest]
    permit = words[2] if len(words) > 2 else bytes(96)
    return AccountState(
        head_number=int(head["number"], 16),
        time_s=max(newest_s, int(pending["timestamp"], 16)) if has_next else newest_s,
        coins_wei=int(coins, 16),
        balance=uint_at(words[0], 0) if words else 0,
        allowance=uint_at(words[1], 0) if words else 0,
        permitted=uint_at(permit, 0),
        permitted_until_s=uint_at(permit, 1),
        permit_nonce=uint_at(permit, 2),
    )


def diagnose(
    state: AccountState, plan: TransactionPlan, way: Way, *, gas_cost_wei: int = 0, permit: SignedPermit | None = None
) -> list[Problem]:
    """Compare what a plan needs with what is there.

    Args:
        state: From `read_account`.
        plan: The swap.
        way: How it goes.
        gas_cost_wei: The most its gas may cost.
        permit: What it carries.
    """
    (paid,) = plan.spends
    problems = []
    if plan.deadline_s and plan.deadline_s <= state.time_s:
        late = state.time_s - plan.deadline_s
        problems.append(Problem(Cause.DEADLINE, f"the deadline passed {late} s ago by the chain's clock", "ask again"))
    wanted_wei = plan.value_wei + gas_cost_wei
    if state.coins_wei < wanted_wei:
        problems.append(
            Problem(
                Cause.COINS,
                f"the account holds {state.coins_wei} wei, the swap and its gas take up to {wanted_wei}",
                "send coins to it, or swap less",
            )
        )
    if way.spender is None:
        return problems
    symbol = paid.asset.symbol
    if state.balance < paid.raw:
        problems.append(
            Problem(
                Cause.BALANCE,
                f"the account holds {state.balance} raw {symbol}, the swap takes up to {paid.raw}",
                "swap less",
            )
        )
    if state.allowance < paid.raw:
        problems.append(
            Problem(
                Cause.ALLOWANCE,
                f"{way.spender} may take {state.allowance} raw {symbol}, the swap needs {paid.raw}",
                "approve exactly that first",
            )
        )
    if way.needs_permit:
        problems += _permit_problems(state, paid.raw, symbol, permit)
    return problems


def _permit_problems(state: AccountState, amount: int, symbol: str, permit: SignedPermit | None) -> list[Problem]:
    if permit is None:
        if 0 < state.permitted_until_s < state.time_s and state.permitted:
            return [Problem(Cause.PERMIT_EXPIRED, "the router's allowance in Permit2 has expired", "sign a new permit")]
        if state.permitted < amount:
            text = f"Permit2 lets the router take {state.permitted} raw {symbol}, the swap needs {amount}"
            return [Problem(Cause.PERMIT_MISSING, text, "sign a permit")]
        return []
    problems = []
    if permit.permit.nonce != state.permit_nonce:
        text = f"the permit has nonce {permit.permit.nonce}, Permit2 takes {state.permit_nonce} next"
        problems.append(Problem(Cause.PERMIT_NONCE, text, "it was used, or another came first: sign a new one"))
    if permit.permit.expires_s < state.time_s:
        problems.append(Problem(Cause.PERMIT_LATE, "the permit's signature has expired", "sign a new one"))
    return problems


async def try_out(
    client: ChainClient, plan: TransactionPlan, way: Way, token: Address | None, *, stands_for_permit: bool
) -> SimulatedCall:
    """Run a plan in an imagined block, after the approvals it still needs.

    Args:
        client: The chain.
        plan: The swap; without its permit where `stands_for_permit`.
        way: How it goes.
        token: What is paid; None for coins.
        stands_for_permit: Let the router take the amount through Permit2 by a call of the owner first, which does what
            the permit will do: so it can be tried before anything is signed.
    """
    calls: list[Call] = []
    amount = plan.spends[0].raw
    if token is not None and way.spender is not None:
        calls.append(Call(plan.sender, token, APPROVE + address_word(way.spender) + uint_word(0)))
        calls.append(Call(plan.sender, token, APPROVE + address_word(way.spender) + uint_word(amount)))
        if stands_for_permit:
            words = address_word(token) + address_word(way.contract) + uint_word(amount) + uint_word((1 << 48) - 1)
            calls.append(Call(plan.sender, PERMIT2, _PERMIT2_APPROVE + words))
        # What the token itself says to moving, apart from any pool; to oneself, so that it changes nothing.
        calls.append(Call(plan.sender, token, _TRANSFER + address_word(plan.sender) + uint_word(amount)))
    calls.append(Call(plan.sender, plan.to, plan.data, plan.value_wei))
    (block,) = await simulate(client, [SimulatedBlock(calls)])
    probe = block.calls[-2] if token is not None and way.spender is not None else None
    if probe is not None and not probe.succeeded:
        return probe
    return block.calls[-1]


def _question(to: Address, data: bytes) -> tuple[str, list[Any]]:
    return "eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]


def problem_of(revert: Revert) -> Problem:
    """Name the cause of a revert."""
    innermost = revert
    while innermost.inner is not None:
        innermost = innermost.inner
    cause = _BY_NAME.get(innermost.name) or next(
        (found for words, found in _BY_WORDS if words in innermost.name.lower()), Cause.REVERTS
    )
    said = revert.text or "it gives no reason"
    meaning = f": {innermost.meaning}" if innermost.meaning and innermost.meaning not in said else ""
    return Problem(cause, f"the call would revert: {said}{meaning}", _HINTS.get(cause, ""))


_TRANSFER: Final = selector("transfer(address,uint256)")
_BY_NAME: Final = {
    **dict.fromkeys(
        (
            "V2TooLittleReceived",
            "V2TooMuchRequested",
            "V3TooLittleReceived",
            "V3TooMuchRequested",
            "V4TooLittleReceived",
            "V4TooMuchRequested",
            "InsufficientToken",
            "InsufficientETH",
            "Too little received",
            "Too much requested",
            "UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT",
            "UniswapV2Router: EXCESSIVE_INPUT_AMOUNT",
            "BAL#507",
        ),
        Cause.POOL_MOVED,
    ),
    "TransactionDeadlinePassed": Cause.DEADLINE,
    "Transaction too old": Cause.DEADLINE,
    "UniswapV2Router: EXPIRED": Cause.DEADLINE,
    "BAL#508": Cause.DEADLINE,
    "AllowanceExpired": Cause.PERMIT_EXPIRED,
    "InsufficientAllowance": Cause.PERMIT_MISSING,
    "InvalidNonce": Cause.PERMIT_NONCE,
    "SignatureExpired": Cause.PERMIT_LATE,
    "InvalidSigner": Cause.PERMIT_SIGNATURE,
    "InvalidSignature": Cause.PERMIT_SIGNATURE,
    "InvalidContractSignature": Cause.PERMIT_SIGNATURE,
    "ERC20InsufficientBalance": Cause.BALANCE,
    "ERC20InsufficientAllowance": Cause.ALLOWANCE,
    "EnforcedPause": Cause.TOKEN_PAUSED,
}
_BY_WORDS: Final = (
    ("paused", Cause.TOKEN_PAUSED),
    ("exceeds balance", Cause.BALANCE),
    ("exceeds allowance", Cause.ALLOWANCE),
    ("blacklist", Cause.TOKEN_REFUSES),
    ("transfer_from_failed", Cause.TOKEN_REFUSES),
    ("transfer_failed", Cause.TOKEN_REFUSES),
    ("stf", Cause.TOKEN_REFUSES),
)
_HINTS: Final = {
    Cause.POOL_MOVED: "quote again, or allow more slippage",
    Cause.DEADLINE: "quote again",
    Cause.TOKEN_PAUSED: "nobody can move this token now",
    Cause.TOKEN_REFUSES: "the token itself says no to this transfer",
    Cause.PERMIT_NONCE: "sign a new permit",
    Cause.PERMIT_LATE: "sign a new permit",
}
