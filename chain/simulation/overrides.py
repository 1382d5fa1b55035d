"""What is pretended about accounts in a simulation: balances, code, storage, what tokens say of a holder.

Where a token keeps its balances is its own matter. It is found by asking: which slots does the question read, and which
of them changes the answer?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from chain.client import ChainClient, state_param
from chain.codec import Function, function
from chain.errors import NodeRefused
from chain.keccak import checksum
from chain.records import BlockRef
from domain.errors import InputError

_BALANCE_OF: Final = function("balanceOf(address owner) returns (uint256)")
_ALLOWANCE: Final = function("allowance(address owner, address spender) returns (uint256)")
_PROBE: Final = 0x5EED_5EED_5EED
"""An amount no account holds by accident; small, so that packed words and checked arithmetic survive it."""


@dataclass(slots=True)
class StateOverrides:
    """Pretended state, by address. Methods give the same object back, so that they chain."""

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def balance(self, address: str, wei: int) -> StateOverrides:
        """Pretend that an account holds so many wei."""
        self._at(address)["balance"] = hex(wei)
        return self

    def nonce(self, address: str, nonce: int) -> StateOverrides:
        """Pretend an account's next nonce."""
        self._at(address)["nonce"] = hex(nonce)
        return self

    def code(self, address: str, code: bytes) -> StateOverrides:
        """Pretend that this code is deployed there."""
        self._at(address)["code"] = "0x" + code.hex()
        return self

    def storage(self, address: str, slot: int, value: int) -> StateOverrides:
        """Pretend one word of a contract's storage; the rest stays as it is.

        Raises:
            InputError: Slot or value are no 256-bit words.
        """
        if not 0 <= slot < 1 << 256 or not 0 <= value < 1 << 256:
            raise InputError(f"storage slots and values are 256-bit words, found {slot} and {value}")
        self._at(address).setdefault("stateDiff", {})[f"0x{slot:064x}"] = f"0x{value:064x}"
        return self

    def merged(self, other: StateOverrides) -> StateOverrides:
        """Give both together; where they differ, `other` holds."""
        found = StateOverrides({address: dict(entry) for address, entry in self.accounts.items()})
        for address, entry in other.accounts.items():
            mine = found.accounts.setdefault(address, {})
            diff = {**mine.get("stateDiff", {}), **entry.get("stateDiff", {})}
            mine.update(entry)
            if diff:
                mine["stateDiff"] = diff
        return found

    def _at(self, address: str) -> dict[str, Any]:
        return self.accounts.setdefault(checksum(address), {})


async def pretend_balance(
    client: ChainClient, overrides: StateOverrides, token: str, owner: str, amount: int, block: BlockRef = "latest"
) -> StateOverrides:
    """Pretend that an account holds an amount of a token.

    Raises:
        InputError: The token's balances are in no single word of its storage (a rebasing token).
        NodeRefused: The node makes no access lists.
    """
    return await _pretend(client, overrides, token, _BALANCE_OF, (owner,), amount, block)


async def pretend_allowance(
    client: ChainClient,
    overrides: StateOverrides,
    token: str,
    owner: str,
    spender: str,
    amount: int,
    block: BlockRef = "latest",
) -> StateOverrides:
    """Pretend that an account has allowed another one an amount of a token. Raises as `pretend_balance`."""
    return await _pretend(client, overrides, token, _ALLOWANCE, (owner, spender), amount, block)


async def _pretend(
    client: ChainClient,
    overrides: StateOverrides,
    token: str,
    question: Function,
    arguments: tuple[str, ...],
    amount: int,
    block: BlockRef,
) -> StateOverrides:
    data = question.encode(*arguments)
    request = {"to": checksum(token), "data": "0x" + data.hex()}
    answer = await client.rpc.request("eth_createAccessList", request, state_param(block))
    read = [(entry["address"], int(slot, 16)) for entry in answer["accessList"] for slot in entry["storageKeys"]]
    for address, slot in read:
        probe = StateOverrides().storage(address, slot, _PROBE)
        try:
            found = await client.call(token, data, block, probe.accounts)
        except NodeRefused:
            continue  # That word leads elsewhere, a proxy's implementation for one.
        if found and question.decode(found) == (_PROBE,):
            return overrides.storage(address, slot, amount)
    raise InputError(f"{token}: {question.name} is not kept in one word of storage, found {len(read)} words read")
