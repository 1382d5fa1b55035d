"""What thieves want signed, tried at every door. Each entry names the rule that refuses it; see docs/attacks.md.

The calls are encoded by eth_abi, not by our packers; the documents are plain EIP-712.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chain.devnet import Devnet, DevnetWorld
from chain.keccak import checksum
from custody.calls.permit2 import PERMIT2
from custody.calls.safe import MULTI_SENDS
from custody.policy import Policy
from domain import Address, InputError, Refused
from tests.custody.attacks.town import (
    CHAIN,
    GWEI,
    PARTNER,
    SAFE,
    THIEF,
    VAULT,
    Clock,
    CosignerDoor,
    CustodyDoor,
    Payload,
    SignerDoor,
    call,
    evidence_of,
    plan_of,
    transfer,
    tx,
    usdc_of,
)
from wallets import AuthorizationToSign, KeySigner, Network, SignedAuthorization, TransactionToSign, TypedDataToSign

pytestmark = pytest.mark.anvil

ZERO = "0x" + "00" * 20
UNLIMITED = 2**256 - 1
LOOK_ALIKE = checksum(PARTNER[:6] + "ab" * 16 + PARTNER[-4:])
EXEC = ("address", "uint256", "bytes", "uint8", "uint256", "uint256", "uint256", "address", "address", "bytes")
SINGLE = "((address,uint160,uint48,uint48),address,uint256)"
V3_SINGLE = "(address,address,uint24,address,uint256,uint256,uint160)"


@dataclass
class Scene:
    """What an attack is built from."""

    world: DevnetWorld
    victim: Address
    now_s: int

    @property
    def usdc(self) -> str:
        return self.world.tokens["USDC"].address

    @property
    def weth(self) -> str:
        return self.world.tokens["WETH"].address

    def router(self, name: str = "UniswapV2Router02") -> str:
        return self.world.contracts[name]


Attack = tuple[str, Callable[[Scene], TransactionToSign]]


def safe(to: str, data: bytes, *, operation: int = 0, value: int = 0, refund: tuple[int, str, str] = (0, ZERO, ZERO)):
    return call("execTransaction", EXEC, to, value, data, operation, 0, 0, *refund, b"\0" * 65)


def batch(*steps: tuple[int, str, int, bytes]) -> bytes:
    packed = b"".join(
        bytes([operation]) + bytes.fromhex(to[2:]) + value.to_bytes(32, "big") + len(data).to_bytes(32, "big") + data
        for operation, to, value, data in steps
    )
    return call("multiSend", ("bytes",), packed)


def swap_v2(scene: Scene, *, least: int = 1, to: str = "", ahead_s: int = 600, amount: int = 10**9) -> bytes:
    types = ("uint256", "uint256", "address[]", "address", "uint256")
    path = [scene.usdc, scene.weth]
    return call("swapExactTokensForTokens", types, amount, least, path, to or scene.victim, scene.now_s + ahead_s)


def swap_v3(scene: Scene, to: str) -> bytes:
    return call("exactInputSingle", (V3_SINGLE,), (scene.usdc, scene.weth, 500, to, 10**9, 1, 0))


def multicall(scene: Scene, *calls: bytes) -> bytes:
    return call("multicall", ("uint256", "bytes[]"), scene.now_s + 600, list(calls))


def execute(scene: Scene, commands: bytes, *inputs: bytes) -> bytes:
    return call("execute", ("bytes", "bytes[]", "uint256"), commands, list(inputs), scene.now_s + 600)


def abi(types: tuple[str, ...], *values: Any) -> bytes:
    return call("x", types, *values)[4:]


MULTI_SEND = min(MULTI_SENDS)

CALLS: dict[str, Attack] = {
    # A Safe's transaction whose operation byte was turned (Bybit, February 2025).
    "delegatecall swap": ("delegatecall", lambda s: tx(SAFE, safe(THIEF, transfer(PARTNER, 10**9), operation=1))),
    "delegatecall swap to the very token": (
        "delegatecall",
        lambda s: tx(SAFE, safe(s.usdc, transfer(PARTNER, 10**9), operation=1)),
    ),
    "delegatecall inside a batch": (
        "delegatecall",
        lambda s: tx(SAFE, safe(MULTI_SEND, batch((1, THIEF, 0, transfer(PARTNER, 1))), operation=1)),
    ),
    "a second recipient inside a batch": (
        "unsafe-call",
        lambda s: tx(
            SAFE,
            safe(
                MULTI_SEND,
                batch((0, s.usdc, 0, transfer(PARTNER, 1)), (0, s.usdc, 0, transfer(THIEF, 10**9))),
                operation=1,
            ),
        ),
    ),
    "a module enabled on a Safe": (
        "unknown-method",
        lambda s: tx(SAFE, safe(SAFE, call("enableModule", ("address",), THIEF))),
    ),
    "an owner added to a Safe": (
        "unknown-method",
        lambda s: tx(SAFE, safe(SAFE, call("addOwnerWithThreshold", ("address", "uint256"), THIEF, 1))),
    ),
    "a Safe's gas refund": (
        "unsafe-call",
        lambda s: tx(SAFE, safe(s.usdc, transfer(PARTNER, 1), refund=(10**18, s.usdc, THIEF))),
    ),
    "a Safe paying a stranger": ("recipient", lambda s: tx(SAFE, safe(s.usdc, transfer(THIEF, 10**9)))),
    # Address poisoning: an address made to look like a known one.
    "a look-alike recipient": ("recipient", lambda s: tx(s.usdc, transfer(LOOK_ALIKE, 10**9))),
    "coins to a look-alike": ("recipient", lambda s: tx(LOOK_ALIKE, value_wei=10**17)),
    "a transferFrom of nothing that plants an address": (
        "unsafe-call",
        lambda s: tx(s.usdc, call("transferFrom", ("address", "address", "uint256"), s.victim, LOOK_ALIKE, 0)),
    ),
    # Allowances.
    "an unlimited allowance for the router": (
        "approval-limit",
        lambda s: tx(s.usdc, call("approve", ("address", "uint256"), s.router(), UNLIMITED)),
    ),
    "an allowance for a thief": (
        "spender",
        lambda s: tx(s.usdc, call("approve", ("address", "uint256"), THIEF, 10**6)),
    ),
    "an allowance raised bit by bit for a thief": (
        "spender",
        lambda s: tx(s.usdc, call("increaseAllowance", ("address", "uint256"), THIEF, 1)),
    ),
    "Permit2 drained: an allowance by call": (
        "spender",
        lambda s: tx(
            PERMIT2,
            call("approve", ("address", "address", "uint160", "uint48"), s.usdc, THIEF, 2**160 - 1, s.now_s + 600),
        ),
    ),
    "Permit2 drained: a transfer": (
        "recipient",
        lambda s: tx(
            PERMIT2,
            call("transferFrom", ("address", "address", "uint160", "address"), s.victim, THIEF, 10**9, s.usdc),
        ),
    ),
    "Permit2 drained: a signature sent along": (
        "spender",
        lambda s: tx(
            PERMIT2,
            call(
                "permit",
                ("address", SINGLE, "bytes"),
                s.victim,
                ((s.usdc, 10**9, s.now_s + 600, 0), THIEF, s.now_s + 600),
                b"\0" * 65,
            ),
        ),
    ),
    # Calls within calls.
    "a transfer smuggled into a multicall": (
        "unsafe-call",
        lambda s: tx(s.router("SwapRouter02"), multicall(s, swap_v3(s, s.victim), transfer(THIEF, 10**9))),
    ),
    "a multicall within a multicall": (
        "unsafe-call",
        lambda s: tx(s.router("SwapRouter02"), multicall(s, multicall(s, swap_v3(s, s.victim)))),
    ),
    "a sweep smuggled into the UniversalRouter": (
        "unsafe-call",
        lambda s: tx(s.router(), execute(s, b"\x04", abi(("address", "address", "uint256"), s.usdc, THIEF, 0))),
    ),
    "a command that may fail silently": (
        "unsafe-call",
        lambda s: tx(
            s.router(),
            execute(
                s,
                b"\x88",
                abi(
                    ("address", "uint256", "uint256", "address[]", "bool"),
                    s.victim,
                    10**9,
                    1,
                    [s.usdc, s.weth],
                    True,
                ),
            ),
        ),
    ),
    # Swaps.
    "proceeds to a thief": ("recipient", lambda s: tx(s.router(), swap_v2(s, to=THIEF))),
    "proceeds left in the router": (
        "unsafe-call",
        lambda s: tx(s.router("SwapRouter02"), multicall(s, swap_v3(s, "0x0000000000000000000000000000000000000002"))),
    ),
    "a swap for nothing (sandwich)": ("slippage", lambda s: tx(s.router(), swap_v2(s, least=0))),
    # Bytes that two readers understand differently.
    "an unknown selector": ("unknown-method", lambda s: tx(s.usdc, b"\xde\xad\xbe\xef" + transfer(PARTNER, 1)[4:])),
    "trailing bytes": ("malformed-call", lambda s: tx(s.usdc, transfer(PARTNER, 1) + b"\0" * 32)),
    "dirty upper bytes of an address": (
        "malformed-call",
        lambda s: tx(s.usdc, transfer(PARTNER, 1)[:4] + b"\xff" + transfer(PARTNER, 1)[5:]),
    ),
    "calldata that is cut": ("malformed-call", lambda s: tx(s.usdc, transfer(PARTNER, 1)[:-1])),
    # Amounts and fees.
    "more than a transaction may": ("amount", lambda s: tx(s.usdc, transfer(PARTNER, 2_001 * 10**6))),
    "coins sent along with a token's call": (
        "value",
        lambda s: tx(s.usdc, transfer(PARTNER, 1), value_wei=10**17),
    ),
    "gas without measure": ("gas-limit", lambda s: tx(s.usdc, transfer(PARTNER, 1), gas_limit=30_000_000)),
}
FEES: dict[str, Attack] = {
    "fee griefing: a price without measure": (
        "fee-cap",
        lambda s: tx(s.usdc, transfer(PARTNER, 1), max_fee_per_gas_wei=10_000 * GWEI),
    ),
    "fee griefing: a legacy price": (
        "fee-cap",
        lambda s: replace(
            tx(s.usdc, transfer(PARTNER, 1)),
            type=0,
            gas_price_wei=10_000 * GWEI,
            max_fee_per_gas_wei=0,
            max_priority_fee_per_gas_wei=0,
        ),
    ),
    "another chain": ("chain", lambda s: tx(s.usdc, transfer(PARTNER, 1), chain_id=1)),
}


@pytest.mark.parametrize("name", CALLS)
async def test_custody_refuses_and_asks_no_signer(door: CustodyDoor, name: str, clock: Clock) -> None:
    rule, build = CALLS[name]
    what = build(Scene(door.world, VAULT, clock.now_s))
    await door.submit(plan_of(what, VAULT, "attack", spends={usdc_of(door.world): 1}, recipient=PARTNER))
    told = await door.outcome("attack")
    assert told.status == "refused"
    assert told.reason.startswith(f"{rule}:"), told.reason
    assert door.signer.door.signatures() == 0


async def test_custody_serves_one_chain(door: CustodyDoor, clock: Clock) -> None:
    elsewhere = FEES["another chain"][1](Scene(door.world, VAULT, clock.now_s))
    with pytest.raises(InputError, match="chain 1,"):
        await door.submit(plan_of(elsewhere, VAULT, "attack", recipient=PARTNER))


@pytest.mark.parametrize("is_approved", [False, True], ids=["alone", "with the operators' approvals"])
@pytest.mark.parametrize("name", [*CALLS, *FEES])
async def test_signer_and_cosigners_refuse_a_coordinator_that_skips_custody(
    guarded: SignerDoor | CosignerDoor, devnet: Devnet, policy: Policy, clock: Clock, name: str, is_approved: bool
) -> None:
    rule, build = (CALLS | FEES)[name]
    what = build(Scene(devnet.world, guarded.address, clock.now_s))
    evidence = approved(policy, guarded, what, clock) if is_approved else None
    if is_approved and evidence is None:
        return  # Nobody can be shown it in words, so nobody approves it.
    with pytest.raises(Refused) as refusal:
        await guarded.ask(Payload(what, evidence))
    assert refusal.value.rule == rule
    assert guarded.signatures() == 0


def approved(policy: Policy, guarded: SignerDoor | CosignerDoor, what: TransactionToSign, clock: Clock) -> Any:
    """Evidence that all operators approved; None where there are no words to show them."""
    try:
        return evidence_of(policy, guarded.address, what, "alice", "bob", "carol", expires_s=clock.now_s + 600)
    except Refused:
        return None


# --- documents


def document(primary: str, types: dict[str, list[tuple[str, str]]], message: Any, domain: dict[str, Any]) -> Any:
    kinds = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    fields = {name: [{"name": n, "type": t} for n, t in members] for name, members in types.items()}
    fields["EIP712Domain"] = [{"name": name, "type": kinds[name]} for name in domain]
    return TypedDataToSign({"types": fields, "primaryType": primary, "domain": domain, "message": message})


DETAILS = [("token", "address"), ("amount", "uint160"), ("expiration", "uint48"), ("nonce", "uint48")]
SAFE_TX = [
    ("to", "address"),
    ("value", "uint256"),
    ("data", "bytes"),
    ("operation", "uint8"),
    ("safeTxGas", "uint256"),
    ("baseGas", "uint256"),
    ("gasPrice", "uint256"),
    ("gasToken", "address"),
    ("refundReceiver", "address"),
    ("nonce", "uint256"),
]


def permit2(scene: Scene, spender: str, *, chain_id: int = CHAIN, contract: str = PERMIT2) -> Any:
    details = {"token": scene.usdc, "amount": 2**160 - 1, "expiration": scene.now_s + 600, "nonce": 0}
    return document(
        "PermitSingle",
        {
            "PermitSingle": [("details", "PermitDetails"), ("spender", "address"), ("sigDeadline", "uint256")],
            "PermitDetails": DETAILS,
        },
        {"details": details, "spender": spender, "sigDeadline": scene.now_s + 600},
        {"name": "Permit2", "chainId": chain_id, "verifyingContract": contract},
    )


def permit(scene: Scene) -> Any:
    names = ("owner", "spender", "value", "nonce", "deadline")
    return document(
        "Permit",
        {"Permit": [(name, "address" if name in ("owner", "spender") else "uint256") for name in names]},
        {"owner": scene.victim, "spender": THIEF, "value": UNLIMITED, "nonce": 0, "deadline": UNLIMITED},
        {"name": "USD Coin", "version": "2", "chainId": int(CHAIN), "verifyingContract": scene.usdc},
    )


def safe_tx(scene: Scene, **changes: Any) -> Any:
    message = {
        "to": scene.usdc,
        "value": 0,
        "data": "0x" + transfer(PARTNER, 10**6).hex(),
        "operation": 0,
        "safeTxGas": 0,
        "baseGas": 0,
        "gasPrice": 0,
        "gasToken": ZERO,
        "refundReceiver": ZERO,
        "nonce": 3,
    }
    domain = {"chainId": int(CHAIN), "verifyingContract": SAFE}
    return document("SafeTx", {"SafeTx": SAFE_TX}, message | changes, domain)


DOCUMENTS: dict[str, tuple[str, Callable[[Scene], Any]]] = {
    "Permit2 drained by a signature": ("spender", lambda s: permit2(s, THIEF)),
    "a permit drained by a signature": ("spender", permit),
    "a false Permit2": ("unknown-document", lambda s: permit2(s, s.router(), contract=THIEF)),
    "a permit for another chain": ("chain", lambda s: permit2(s, s.router(), chain_id=1)),
    "a Safe owner's signature for a delegatecall": ("delegatecall", lambda s: safe_tx(s, operation=1)),
    "a Safe owner's signature for a stranger": (
        "recipient",
        lambda s: safe_tx(s, data="0x" + transfer(THIEF, 10**6).hex()),
    ),
    "a document nobody knows": (
        "unknown-document",
        lambda s: document(
            "Order", {"Order": [("who", "address")]}, {"who": THIEF}, {"chainId": int(CHAIN), "verifyingContract": SAFE}
        ),
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_documents_that_give_funds_away_are_not_signed(
    guarded: SignerDoor | CosignerDoor, devnet: Devnet, clock: Clock, name: str
) -> None:
    rule, build = DOCUMENTS[name]
    with pytest.raises(Refused) as refusal:
        await guarded.ask(Payload(build(Scene(devnet.world, guarded.address, clock.now_s))))
    assert refusal.value.rule == rule
    assert guarded.signatures() == 0


# --- EIP-7702


async def test_an_authorization_for_every_chain_is_refused_as_it_is_read(signer_door: SignerDoor) -> None:
    """Chain id 0 would hold on every chain there is: no value of the type exists, and none comes in by the wire."""
    with pytest.raises(Refused) as refusal:
        AuthorizationToSign(chain_id=0, delegate=THIEF, nonce=0)  # type: ignore[arg-type]
    assert refusal.value.rule == "any-chain"
    answer = await signer_door._service.answer(
        {
            "method": "sign_authorization",
            "signer": signer_door.address,
            "network": "devnet",
            "payload": {"chain_id": "0", "delegate": THIEF, "nonce": "0"},
        }
    )
    assert answer["error"]["rule"] == "any-chain"


async def test_a_delegation_to_a_thief_is_refused(guarded: SignerDoor | CosignerDoor) -> None:
    with pytest.raises(Refused) as refusal:
        await guarded.ask(Payload(AuthorizationToSign(chain_id=CHAIN, delegate=THIEF, nonce=0)))
    assert refusal.value.rule == "kind"
    assert guarded.signatures() == 0


async def test_a_delegation_smuggled_into_an_approved_payment_is_refused(
    guarded: SignerDoor | CosignerDoor, devnet: Devnet, policy: Policy, clock: Clock
) -> None:
    plain = tx(devnet.world.tokens["USDC"].address, transfer(PARTNER, 1_500 * 10**6))
    evidence = evidence_of(policy, guarded.address, plain, "alice", "bob", expires_s=clock.now_s + 600)
    thief = KeySigner(b"\x07" * 32, is_test_key=True)
    delegation = AuthorizationToSign(chain_id=CHAIN, delegate=THIEF, nonce=0)
    signed: SignedAuthorization = await thief.sign_authorization(delegation, network=Network.DEVNET)
    smuggled = replace(plain, type=4, authorizations=(signed,))
    for shown, rule in ((None, "kind"), (evidence, "approval-subject")):
        with pytest.raises(Refused) as refusal:
            await guarded.ask(Payload(smuggled, shown))
        assert refusal.value.rule == rule
    assert guarded.signatures() == 0


# --- and what is right is signed, or none of the above would mean anything


async def test_honest_payments_pass_every_door(
    guarded: SignerDoor | CosignerDoor, devnet: Devnet, policy: Policy, clock: Clock
) -> None:
    small = tx(devnet.world.tokens["USDC"].address, transfer(PARTNER, 900 * 10**6))
    await guarded.ask(Payload(small))
    large = tx(devnet.world.tokens["USDC"].address, transfer(PARTNER, 1_500 * 10**6), nonce=1)
    evidence = evidence_of(policy, guarded.address, large, "alice", "bob", expires_s=clock.now_s + 600)
    await guarded.ask(Payload(large, evidence))
    swap = tx(devnet.world.contracts["UniswapV2Router02"], nonce=2)
    scene = Scene(devnet.world, guarded.address, clock.now_s)
    await guarded.ask(Payload(replace(swap, data=swap_v2(scene, amount=10**8))))
    await guarded.ask(Payload(safe_tx(scene)))
    assert guarded.signatures() == 4


async def test_honest_payments_pass_custody(door: CustodyDoor) -> None:
    usdc = usdc_of(door.world)
    what = tx(door.world.tokens["USDC"].address, transfer(PARTNER, 1_500 * 10**6))
    await door.submit(plan_of(what, VAULT, "honest", spends={usdc: 1_500 * 10**6}, recipient=PARTNER))
    await door.asked("honest")
    door.say("honest", "alice", "bob")
    assert (await door.outcome("honest")).status == "mined"
