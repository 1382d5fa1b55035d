"""What is attacked: a policy, people, a custody desk on the devnet, a signer process's service, and three cosigners.

All of them obey copies of one policy. An attack is tried at three doors: through custody, as an engine that was taken
over would; at the signer, as a coordinator that skips custody would; and at the cosigners, by a coordinator that lies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eth_abi.abi import encode

from chain import ChainClient, keccak256
from chain.devnet import DevnetWorld
from custody import Custody, DeskOptions, Ledger, PolicyGuard
from custody.approvals import (
    ApprovalUses,
    CanonicalIntent,
    ChainCall,
    DatabaseApprovals,
    Subject,
    TypedDocument,
    approve,
)
from custody.policy import Policy, Rests, read_rulebook
from domain import Address, Amount, Asset, ChainId, IntentId, StrategyId, native_asset, token_asset
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime.database import Database
from tests.custody.desk import VAULT, NoScreening
from tests.databases import books_at
from tests.support.approvers import address_of, key_of
from tests.support.policies import public
from wallets import (
    AuthorizationToSign,
    Evidence,
    HdWallet,
    Network,
    SignerService,
    SigningJournal,
    TransactionToSign,
    TypedDataToSign,
)

CHAIN = ChainId(1337)
PARTNER = address_of("partner")
THIEF = address_of("thief")
SAFE = address_of("safe")
GWEI = 10**9


def call(name: str, types: tuple[str, ...], *values: Any) -> bytes:
    """Calldata, by another encoder than custody's."""
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)


def transfer(recipient: str, raw: int) -> bytes:
    return call("transfer", ("address", "uint256"), recipient, raw)


class Clock:
    """The clock of desk, signer and cosigners."""

    def __init__(self, now_s: int) -> None:
        self.now_s = now_s

    def now_ns(self) -> int:
        return self.now_s * 10**9


def policy_for(world: DevnetWorld, *vaults: str, version: int = 1, more: str = "") -> Policy:
    """Partners get up to 2,000 USDC (two operators above 1,000) and 3,000 a day; swaps on the routers; a Safe's calls.

    Allowed besides, so that an attack meets its own rule and not just the lack of any: documents of the Safe and of
    Permit2 for the router, allowances for the router, and WETH to anybody with two approvals.
    """
    usdc, routers = (
        world.tokens["USDC"].address,
        (world.contracts["UniswapV2Router02"], world.contracts["SwapRouter02"]),
    )
    return Policy(
        read_rulebook(
            f"""
version: {version}
assets:
  USDC: {{id: "eip155:1337/erc20:{usdc}", decimals: 6}}
  WETH: {{id: "eip155:1337/erc20:{world.tokens["WETH"].address}", decimals: 18}}
  ETH: {{id: "eip155:1337/slip44:60", decimals: 18}}
lists:
  partners: ["{PARTNER}"]
  routers: ["{routers[0]}", "{routers[1]}"]
vaults:
  hot: [{", ".join(f'"{vault}"' for vault in vaults)}]
names: {{"{PARTNER}": Partner, "{SAFE}": Treasury-Safe, "{routers[0]}": Router-V2, "{routers[1]}": Router-V3}}
people:
  alice: {{keys: ["{public("alice")}"]}}
  bob: {{keys: ["{public("bob")}"]}}
  carol: {{keys: ["{public("carol")}"]}}
groups:
  operators: [alice, bob, carol]
chains:
  1337: {{gas_limit_max: 500000, fee_per_gas_wei_max: "100000000000", deadline_s_max: 1800}}
rules:
  - id: partners
    effect: allow
    when: {{kind: transfer, vault: hot, asset: [USDC, ETH], recipient: "@partners"}}
    limits:
      amounts:
        - {{asset: USDC, per_transaction: "2000 USDC", windows: [{{window: 24h, amount: "3000 USDC"}}]}}
        - {{asset: ETH, per_transaction: "1 ETH"}}
  - id: swaps
    effect: allow
    when: {{kind: swap, contract: "@routers", asset: [USDC, WETH], recipient: self}}
    limits: {{amounts: [{{asset: USDC, per_transaction: "2000 USDC"}}, {{asset: WETH, per_transaction: "1 WETH"}}]}}
  - id: allowances
    effect: allow
    when: {{kind: approve, asset: USDC, spender: "@routers"}}
    limits: {{amounts: [{{asset: USDC, approval: "2000 USDC"}}]}}
  - id: treasury
    effect: allow
    when: {{kind: safe, contract: "{SAFE}", asset: USDC, recipient: "@partners"}}
    limits: {{amounts: [{{asset: USDC, per_transaction: "2000 USDC"}}]}}
  - id: permits
    effect: allow
    when: {{kind: typed-data, method: [PermitSingle, PermitBatch, Permit], spender: "@routers"}}
  - id: safe-owner
    effect: allow
    when: {{kind: typed-data, method: SafeTx, asset: USDC, recipient: "@partners"}}
  - id: anywhere
    effect: allow
    when: {{kind: transfer, vault: hot, asset: WETH}}
    limits: {{amounts: [{{asset: WETH, per_transaction: "5 WETH"}}]}}
  - id: anywhere-asks
    effect: require
    group: operators
    count: 2
    when: {{kind: transfer, asset: WETH}}
  - id: large
    effect: require
    group: operators
    count: 2
    when: {{above: {{asset: USDC, amount: "1000 USDC"}}}}
{more}
"""
        )
    )


@dataclass
class Payload:
    """What a thief wants signed: a transaction, a document or a delegation."""

    what: TransactionToSign | TypedDataToSign | AuthorizationToSign
    evidence: Evidence | None = None


class Door(Protocol):
    """Where signatures come from. `address` is the account that is robbed."""

    @property
    def address(self) -> Address: ...

    async def ask(self, payload: Payload) -> None:
        """Try to have it signed; raises `Refused`."""
        ...

    def signatures(self) -> int:
        """How many were given."""
        ...


def tx(to: str, data: bytes = b"", **changes: Any) -> TransactionToSign:
    """A transaction with harmless fees."""
    fields: dict[str, Any] = {
        "chain_id": CHAIN,
        "nonce": 0,
        "to": Address(to),
        "data": data,
        "gas_limit": 200_000,
        "max_fee_per_gas_wei": 10 * GWEI,
        "max_priority_fee_per_gas_wei": GWEI,
    }
    return TransactionToSign(**(fields | changes))


def evidence_of(
    policy: Policy,
    sender: Address,
    about: TransactionToSign | TypedDataToSign,
    *people: str,
    initiator: str = "engine",
    intent_id: str = "w-1",
    expires_s: int,
) -> dict[str, Any]:
    """What a coordinator shows: an intent about something, approved by some people."""
    subject: Subject = (
        ChainCall.of(sender, about)
        if isinstance(about, TransactionToSign)
        else TypedDocument.of(sender, about.document)
    )
    intent = CanonicalIntent(
        intent_id=intent_id,
        vault="hot",
        initiator=initiator,
        subject=subject,
        expires_s=expires_s,
        policy_version=policy.version,
        policy_digest=policy.digest,
    )
    text = intent.render(policy.names)
    return {
        "intent": intent.to_document(),
        "text": text,
        "approvals": [approve(key_of(name), intent, text).to_document() for name in people],
    }


class SignerDoor:
    """The signer process's service, as its socket asks it: wire in, guard, journal, key."""

    def __init__(self, folder: Path, policy: Policy, clock: Clock) -> None:
        from chain.devnet import TEST_MNEMONIC
        from runtime import Secret

        self._uses, self._rests = ApprovalUses(folder / "uses.db"), Rests(folder / "rests.db")
        self._journal = SigningJournal(folder / "journal.db", now_ns=clock.now_ns)
        guard = PolicyGuard(policy, uses=self._uses, rests=self._rests, now_ns=clock.now_ns)
        key = HdWallet(Secret(TEST_MNEMONIC)).signer(5)
        self._service = SignerService([key], guard=guard, journal=self._journal)
        self.address = key.address
        self._given = 0

    async def ask(self, payload: Payload) -> None:
        from wallets.wire import decode_line, encode_line, error_from

        what = payload.what
        if isinstance(what, TypedDataToSign):
            method, wire = "sign_typed_data", dict(what.document)
        else:
            is_transaction = isinstance(what, TransactionToSign)
            method, wire = "sign_transaction" if is_transaction else "sign_authorization", what.to_wire()
        request: dict[str, Any] = {
            "method": method,
            "signer": self.address,
            "network": "devnet",
            "payload": wire,
        }
        if payload.evidence is not None:
            request["evidence"] = payload.evidence
        answer = await self._service.answer(decode_line(encode_line(request)))
        if "error" in answer:
            raise error_from(answer["error"])
        self._given += 1

    def signatures(self) -> int:
        return self._given

    def close(self) -> None:
        for memory in (self._uses, self._rests, self._journal):
            memory.close()


class CosignerDoor:
    """Three cosigners, each with its own guard, before a coordinator that asks whatever it likes."""

    def __init__(self, signer: Any, parties: list[Any]) -> None:
        self._signer, self._parties = signer, parties
        self.address: Address = signer.address
        self._given = 0

    async def ask(self, payload: Payload) -> None:
        what, options = payload.what, {"network": Network.DEVNET, "evidence": payload.evidence}
        if isinstance(what, TransactionToSign):
            await self._signer.sign_transaction(what, **options)
        elif isinstance(what, TypedDataToSign):
            await self._signer.sign_typed_data(what, **options)
        else:
            await self._signer.sign_authorization(what, **options)
        self._given += 1

    def signatures(self) -> int:
        return self._given


@dataclass
class CustodyDoor:
    """A custody desk on the devnet with its approval desk; the signer behind it is real."""

    custody: Custody
    desk: DatabaseApprovals
    database: Database
    settled: list[SwapSettled]
    world: DevnetWorld
    signer: Any
    moved: asyncio.Event
    active: list[Policy]
    """The last one is what the approval desk obeys."""

    address = VAULT

    async def submit(self, plan: TransactionPlan, *, initiator: str = "engine") -> None:
        await self.custody.submit(plan, initiator=initiator, vault="hot")

    async def outcome(self, intent_id: str) -> SwapSettled:
        """Wait for an intent's end."""
        assert await self.custody.drain(60), await self.custody.in_flight()
        (found,) = [each for each in await self.custody.settlements() if each.intent_id == intent_id]
        return found

    async def asked(self, intent_id: str) -> None:
        """Wait until people are asked about an intent."""
        async with asyncio.timeout(60):
            while all(step.value != "approval-asked" for step, _ in self.custody.history(intent_id)):
                self.moved.clear()
                await self.moved.wait()

    def say(self, intent_id: str, *people: str) -> None:
        """Let people approve what they are shown."""
        request = self.desk.find(intent_id)
        for name in people:
            self.desk.add(intent_id, approve(key_of(name), request.intent, request.text))


class GuardedSigner:
    """What the signer process does, for a desk in the same process; counts its signatures."""

    def __init__(self, door: SignerDoor) -> None:
        self.door, self.address = door, door.address

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Any:
        signed = await self.door._service.sign_transaction(self.address, tx, network=network, evidence=evidence)
        self.door._given += 1
        return signed


def custody_door(
    world: DevnetWorld, chain: ChainClient, folder: Path, policy: Policy, signer: SignerDoor, clock: Clock
) -> CustodyDoor:
    """Put a desk together around a signer."""
    database = books_at(folder / "books.db")
    active = [policy]
    desk = DatabaseApprovals(database, rules=lambda: active[-1], now_ns=clock.now_ns)
    settled: list[SwapSettled] = []
    guarded, moved, loop = GuardedSigner(signer), asyncio.Event(), asyncio.get_running_loop()

    def tell(_edge: str) -> None:
        loop.call_soon_threadsafe(moved.set)

    custody = Custody(
        database=database,
        ledger=Ledger(database, clock.now_ns),
        policy=policy,
        screener=NoScreening(),
        signer=guarded,  # type: ignore[arg-type]  # documents are not signed through custody
        chain=chain,
        network=Network.DEVNET,
        now_ns=clock.now_ns,
        options=DeskOptions(poll_s=0.005),
        approvals=desk,
        checkpoint=tell,
    )
    return CustodyDoor(custody, desk, database, settled, world, guarded, moved, active)


def usdc_of(world: DevnetWorld) -> Asset:
    token = world.tokens["USDC"]
    return token_asset(CHAIN, token.address, "USDC", token.decimals)


def plan_of(
    payload: TransactionToSign,
    sender: Address,
    intent_id: str,
    *,
    spends: Mapping[Asset, int] | None = None,
    recipient: Address | None = None,
    approves: Mapping[Asset, int] | None = None,
) -> TransactionPlan:
    """The plan of an engine that was taken over: it promises exactly what its calldata does."""
    if not payload.data:
        spends, recipient = {native_asset(CHAIN): payload.value_wei}, payload.to
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId("thief"),
        purpose="transfer",
        chain_id=payload.chain_id,
        sender=sender,
        to=payload.to,
        value_wei=payload.value_wei,
        data=payload.data,
        gas_limit=payload.gas_limit,
        deadline_s=0,
        spends=tuple(Amount(asset, raw) for asset, raw in (spends or {}).items()),
        approves=tuple(Amount(asset, raw) for asset, raw in (approves or {}).items()),
        recipient=recipient,
    )
