"""What each JSON-RPC method does: sign here, ask the node, or refuse.

Signed here: `eth_accounts`, `eth_signTransaction`, `eth_sendTransaction` (filled, signed, and sent through the node),
`eth_signTypedData_v4`, `personal_sign`. Refused: `eth_sign` (it signs any hash) and everything that unlocks, imports or
impersonates accounts at the node. Everything else in the namespaces `eth`, `net` and `web3` goes to the node unchanged.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any, Final

import structlog

from domain import Address, InputError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable
from wallets.payloads import MessageToSign, Network, SignedTransaction, TypedDataToSign
from wallets.rpc.access import Access, Purpose
from wallets.rpc.upstream import Upstream
from wallets.rpc.wire import (
    UnknownMethod,
    address,
    build,
    check_fields,
    data_bytes,
    describe,
    error_object,
    kind_of,
    quantity,
)
from wallets.service import SignerService, log_declined

log = structlog.get_logger(__name__)

_NAMESPACES: Final = ("eth_", "net_", "web3_")
_BATCH_MAX: Final = 100
_OWN: Final = frozenset(
    {
        *("eth_accounts", "eth_requestAccounts", "eth_signTransaction", "eth_sendTransaction"),
        *("eth_signTypedData_v4", "eth_signTypedData", "personal_sign"),
    }
)


class RpcMethods:
    """Answers JSON-RPC requests for the keys of a service.

    Args:
        service: Judges, journals and signs.
        network: What kind of chain its callers mean; JSON-RPC cannot say it. Test keys sign for `DEVNET` only.
        upstream: The node; without one, transactions must be complete and nothing is sent.
    """

    def __init__(self, service: SignerService, *, network: Network, upstream: Upstream | None = None) -> None:
        self._service = service
        self._network = network
        self._upstream = upstream
        self._numbering: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, body: bytes, access: Access) -> Any:
        """Answer a request or a batch of them; gives what is sent back as JSON."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return _failure(None, {"code": -32700, "message": "not JSON"})
        if not isinstance(message, list):
            return await self._answer_one(message, access)
        if not 0 < len(message) <= _BATCH_MAX:
            return _failure(None, {"code": -32600, "message": f"a batch has 1 to {_BATCH_MAX} requests"})
        return [await self._answer_one(request, access) for request in message]

    async def _answer_one(self, request: Any, access: Access) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, {"code": -32600, "message": "not a JSON-RPC request"})
        number, params = request.get("id"), request.get("params") or []
        try:
            if not isinstance(params, list):
                raise InputError("params must be a list")
            return {"jsonrpc": "2.0", "id": number, "result": await self._call(request["method"], params, access)}
        except PlatformError as exc:
            if request["method"] in _OWN:
                log_declined(request["method"], exc)
            return _failure(number, error_object(exc))

    async def _call(self, method: str, params: list[Any], access: Access) -> Any:
        if method in ("eth_accounts", "eth_requestAccounts"):
            return [own for own in self._service.addresses if access.may_see(own)]
        if method in ("eth_sendTransaction", "eth_signTransaction"):
            (fields,) = _arguments(params, 1)
            sender, given = self._sender(fields, access)
            if method == "eth_signTransaction":
                return describe(await self._sign(sender, given))
            return await self._send(sender, given)
        if method == "personal_sign":
            content, who = _arguments(params, 2, at_most=3)
            return await self._sign_message(content, who, access)
        if method in ("eth_signTypedData_v4", "eth_signTypedData"):
            who, document = _arguments(params, 2)
            return await self._sign_typed_data(who, document, access)
        if method == "eth_sign":
            raise Refused(
                "eth_sign would sign any hash, a transaction's too", rule="eth_sign", hint="use personal_sign"
            )
        if not method.startswith(_NAMESPACES):
            raise UnknownMethod(f"{method[:40]!r} is not offered here")
        return await self._node().ask(method, params)

    def _sender(self, fields: Any, access: Access) -> tuple[Address, dict[str, Any]]:
        given = check_fields(fields)
        sender = address(given.pop("from", None), "from")
        access.check(sender, Purpose.TRANSACTION)
        if sender not in self._service.addresses:
            raise InputError(f"no key for {sender} here")
        return sender, given

    async def _sign(self, sender: Address, given: dict[str, Any]) -> SignedTransaction:
        complete = given if self._upstream is None else await self._filled(sender, given)
        return await self._service.sign_transaction(sender, build(complete), network=self._network)

    async def _send(self, sender: Address, given: dict[str, Any]) -> str:
        node = self._node()
        # One at a time from reading the account's number to the node's having the transaction, or two would share it.
        async with self._numbering[sender]:
            signed = await self._sign(sender, given)
            try:
                await node.ask("eth_sendRawTransaction", ["0x" + signed.raw.hex()])
            except OutcomeUnknown as exc:
                raise OutcomeUnknown(f"{exc}; ask the chain for {signed.hash}", request_id=signed.hash) from exc
        log.info("signer.sent", signer=sender, tx_hash=signed.hash)
        return signed.hash

    async def _filled(self, sender: Address, given: dict[str, Any]) -> dict[str, Any]:
        """Add what a node would have filled in for an unlocked account; nothing given is changed."""
        node, filled = self._node(), dict(given)
        chain_id = quantity(await node.ask("eth_chainId", []), "the node's chain id")
        if quantity(filled.setdefault("chainId", chain_id), "chainId") != chain_id:
            raise InputError(f"the transaction is for another chain than the node's, {chain_id}")
        if "nonce" not in filled:
            filled["nonce"] = await node.ask("eth_getTransactionCount", [sender, "pending"])
        if "gas" not in filled and "gasLimit" not in filled:
            asked = {name: _hex(value) for name, value in filled.items() if name not in ("type", "chainId", "nonce")}
            filled["gas"] = await node.ask("eth_estimateGas", [{**asked, "from": sender}])
        if kind_of(filled) not in (2, 4):
            if "gasPrice" not in filled:
                filled["gasPrice"] = await node.ask("eth_gasPrice", [])
            return filled
        if "maxPriorityFeePerGas" not in filled:
            tip = quantity(await node.ask("eth_maxPriorityFeePerGas", []), "the node's tip")
            if "maxFeePerGas" in filled:
                tip = min(tip, quantity(filled["maxFeePerGas"], "maxFeePerGas"))
            filled["maxPriorityFeePerGas"] = tip
        if "maxFeePerGas" not in filled:
            head = await node.ask("eth_getBlockByNumber", ["latest", False])
            if not isinstance(head, dict) or "baseFeePerGas" not in head:
                raise VenueUnavailable("the node names no base fee", hint="give gasPrice")
            base = quantity(head["baseFeePerGas"], "the node's base fee")
            # Twice the base fee lasts for six full blocks in a row (EIP-1559: at most 12.5 % more each).
            filled["maxFeePerGas"] = 2 * base + quantity(filled["maxPriorityFeePerGas"], "maxPriorityFeePerGas")
        return filled

    async def _sign_message(self, content: Any, who: Any, access: Access) -> str:
        sender = address(who, "the second parameter")
        access.check(sender, Purpose.MESSAGE)
        message = MessageToSign(data_bytes(content, "the message"))
        signature = await self._service.sign_message(sender, message, network=self._network)
        return "0x" + signature.to_bytes().hex()

    async def _sign_typed_data(self, who: Any, document: Any, access: Access) -> str:
        sender = address(who, "the first parameter")
        access.check(sender, Purpose.TYPED_DATA)
        if isinstance(document, str):
            try:
                document = json.loads(document)
            except (ValueError, RecursionError) as exc:
                raise InputError("the typed data is not JSON") from exc
        if not isinstance(document, dict):
            raise InputError("typed data must be an object")
        signature = await self._service.sign_typed_data(sender, TypedDataToSign(document), network=self._network)
        return "0x" + signature.to_bytes().hex()

    def _node(self) -> Upstream:
        if self._upstream is None:
            raise UnknownMethod("this signer has no node to ask", hint="start it with --upstream")
        return self._upstream


def _arguments(params: list[Any], count: int, *, at_most: int | None = None) -> list[Any]:
    # A password after personal_sign's address is what unlocking nodes ask for; it is dropped unread.
    if not count <= len(params) <= (at_most or count):
        raise InputError(f"{count} parameters are expected, found {len(params)}")
    return params[:count]


def _hex(value: Any) -> Any:
    return hex(value) if type(value) is int else value


def _failure(number: Any, error: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": error}
