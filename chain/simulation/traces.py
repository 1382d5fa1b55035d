"""Every call inside a transaction, and what it changes: `callTracer` and `prestateTracer`, decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chain.client import ChainClient, state_param
from chain.keccak import checksum
from chain.records import BlockRef, Call
from chain.reverts import Revert, explain
from chain.simulation.overrides import StateOverrides
from domain.ids import Address

_CALLS = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
_CHANGES = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}


@dataclass(frozen=True, slots=True)
class TracedLog:
    """An event as a trace shows it."""

    address: Address
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class CallFrame:
    """One call and those it made, in order."""

    kind: str
    """`CALL`, `STATICCALL`, `DELEGATECALL`, `CREATE`, `CREATE2`, `SELFDESTRUCT`."""
    sender: Address
    to: Address | None
    value_wei: int
    gas_used: int
    data: bytes
    output: bytes
    failure: Revert | None
    """Why it failed; None when it succeeded. A caller may have caught it."""
    logs: tuple[TracedLog, ...]
    calls: tuple[CallFrame, ...]

    def walk(self) -> Iterator[CallFrame]:
        """Give this call and all below it, each before those it made."""
        yield self
        for call in self.calls:
            yield from call.walk()

    def failing_path(self) -> tuple[CallFrame, ...]:
        """Give the calls from here down to where the failure came from; empty when this one succeeded.

        Of several that failed inside one call the last counts: what came before was caught.
        """
        if self.failure is None:
            return ()
        failed = [call for call in self.calls if call.failure is not None]
        return (self, *(failed[-1].failing_path() if failed else ()))


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What becomes of one account. Before and after; None where it does not change."""

    balance_wei: tuple[int, int] | None
    nonce: tuple[int, int] | None
    code: tuple[bytes, bytes] | None
    storage: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class StateChanges:
    """What a transaction changes, by account."""

    accounts: Mapping[Address, AccountChange]

    def coin_delta(self, address: str) -> int:
        """How many wei an account gains (or loses, gas included)."""
        change = self.accounts.get(checksum(address))
        return 0 if change is None or change.balance_wei is None else change.balance_wei[1] - change.balance_wei[0]


async def trace_call(
    client: ChainClient, call: Call, block: BlockRef = "latest", overrides: StateOverrides | None = None
) -> CallFrame:
    """Run a call without a transaction and show every call inside.

    Raises:
        NodeRefused: The node does not trace.
        VenueUnavailable: No node answers.
    """
    options: dict[str, Any] = dict(_CALLS)
    if overrides is not None and overrides.accounts:
        options["stateOverrides"] = overrides.accounts
    answer = await client.rpc.request("debug_traceCall", _parameter(call), state_param(block), options)
    return _frame(answer)


async def trace_transaction(client: ChainClient, tx_hash: str) -> CallFrame:
    """Show every call inside a mined transaction. Raises as `trace_call`."""
    return _frame(await client.rpc.request("debug_traceTransaction", tx_hash, _CALLS))


async def state_changes(
    client: ChainClient, call: Call, block: BlockRef = "latest", overrides: StateOverrides | None = None
) -> StateChanges:
    """Tell what a call would change: coins, nonces, code and storage. Raises as `trace_call`."""
    options: dict[str, Any] = dict(_CHANGES)
    if overrides is not None and overrides.accounts:
        options["stateOverrides"] = overrides.accounts
    answer = await client.rpc.request("debug_traceCall", _parameter(call), state_param(block), options)
    before, after = answer.get("pre") or {}, answer.get("post") or {}
    found = {checksum(address): _change(before.get(address) or {}, after.get(address)) for address in {*before, *after}}
    return StateChanges(found)


def _parameter(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {
        "from": checksum(call.sender),
        "to": checksum(call.to),
        "data": "0x" + call.data.hex(),
        "value": hex(call.value_wei),
    }
    if call.gas_limit is not None:
        found["gas"] = hex(call.gas_limit)
    return found


def _frame(entry: Mapping[str, Any]) -> CallFrame:
    output = bytes.fromhex((entry.get("output") or "0x")[2:])
    failure = None
    if entry.get("error"):
        failure = explain(output)
        if not failure.name:
            failure = Revert(str(entry["error"]), str(entry["error"]))
    to = entry.get("to")
    return CallFrame(
        kind=str(entry["type"]),
        sender=checksum(entry["from"]),
        to=checksum(to) if to else None,
        value_wei=int(entry.get("value") or "0x0", 16),
        gas_used=int(entry.get("gasUsed") or "0x0", 16),
        data=bytes.fromhex((entry.get("input") or "0x")[2:]),
        output=output,
        failure=failure,
        logs=tuple(
            TracedLog(
                checksum(log["address"]), tuple(log.get("topics", ())), bytes.fromhex((log.get("data") or "0x")[2:])
            )
            for log in entry.get("logs") or ()
        ),
        calls=tuple(_frame(inner) for inner in entry.get("calls") or ()),
    )


def _log(entry: Mapping[str, Any]) -> TracedLog:
    data = bytes.fromhex((entry.get("data") or "0x")[2:])
    return TracedLog(checksum(entry["address"]), tuple(entry.get("topics") or ()), data)


def _change(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> AccountChange:
    # The tracer leaves out of `post` what stays as it is; an account that is gone has no `post` at all.
    now: Mapping[str, Any] = {"balance": "0x0", "nonce": 0, "code": "0x"} if after is None else after

    def pair(key: str, read: Any, nothing: Any) -> Any:
        if key not in now:
            return None
        old, new = read(before[key]) if key in before else nothing, read(now[key])
        return None if old == new else (old, new)

    old_words = {int(slot, 16): int(value, 16) for slot, value in (before.get("storage") or {}).items()}
    new_words = {int(slot, 16): int(value, 16) for slot, value in (now.get("storage") or {}).items()}
    # A word that was there before and is not afterwards has become zero.
    words = {slot: (old_words.get(slot, 0), new_words.get(slot, 0)) for slot in {*old_words, *new_words}}
    return AccountChange(
        balance_wei=pair("balance", _number, 0),
        nonce=pair("nonce", _number, 0),
        code=pair("code", lambda text: bytes.fromhex(text[2:]), b""),
        storage={slot: words_ for slot, words_ in words.items() if words_[0] != words_[1]},
    )


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value, 16)
