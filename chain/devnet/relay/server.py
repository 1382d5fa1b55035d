"""The relay's JSON-RPC endpoint on loopback.

Bundles need the header `X-Flashbots-Signature: address:signature`, where the signature is that of a personal message
(EIP-191): the hash of the request's body, as 0x text. `eth_sendRawTransaction` is taken without, as Flashbots Protect
does, and held privately. Reads go through to the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
from aiohttp import web
from coincurve import PublicKey

from chain.devnet.relay.builder import Relay
from chain.devnet.relay.bundles import Bundle, SignedTransaction, check_limits
from chain.devnet.relay.simulation import gas_price, simulate
from chain.errors import NodeRefused
from chain.keccak import checksum, keccak256
from domain.errors import InputError, PlatformError
from domain.ids import Address

HEADER: Final = "X-Flashbots-Signature"
_PRIVATE_BLOCKS: Final = 25
"""How long a private transaction is tried if nothing else is said."""
_BODY_MAX: Final = 2_000_000
_BAD_REQUEST, _NO_METHOD, _BAD_PARAMS = -32600, -32601, -32602
_UNSIGNED: Final = ("eth_sendRawTransaction",)
_READS: Final = ("eth_get", "eth_call", "eth_chainId", "eth_blockNumber", "eth_estimateGas", "net_version")


class RelayServer:
    """Serves one relay."""

    def __init__(self, relay: Relay, host: str = "127.0.0.1", port: int = 0) -> None:
        self._relay = relay
        self._host = host
        self._port = port
        self.url = ""
        self.requests: list[str] = []
        """The methods asked, in order, for whoever wants to know what reached the relay."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Listen and build blocks until left.

        Raises:
            InputError: The port is in use.
        """
        application = web.Application(client_max_size=_BODY_MAX)
        application.router.add_post("/", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        building = asyncio.create_task(self._relay.run(), name="relay.build")
        try:
            site = web.TCPSite(runner, self._host, self._port)
            try:
                await site.start()
            except OSError as exc:
                raise InputError(f"cannot listen on {self._host}:{self._port}: {exc.strerror}") from exc
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            yield self
        finally:
            building.cancel()
            await asyncio.gather(building, return_exceptions=True)
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            message = msgspec.json.decode(body)
            method, params = str(message["method"]), list(message.get("params") or [])
        except (msgspec.DecodeError, KeyError, TypeError):
            return _respond(None, _Refusal(_BAD_REQUEST, "not a JSON-RPC request", status=400))
        self.requests.append(method)
        reply = await self._reply(method, params, request.headers.get(HEADER, ""), body)
        return _respond(message.get("id"), reply)

    async def _reply(self, method: str, params: list[Any], header: str, body: bytes) -> object:
        try:
            if method.startswith(_READS) and method != "eth_callBundle":
                return await self._relay.client.rpc.request(method, *params)
            signer = "" if method in _UNSIGNED else _signer(header, body)
            return await self._handle(method, params, signer)
        except NodeRefused as exc:
            return _Refusal(exc.code, str(exc).removeprefix("the node refused: "))
        except _Unsigned as exc:
            return _Refusal(_BAD_REQUEST, str(exc), status=403)
        except _UnknownMethod:
            return _Refusal(_NO_METHOD, f"the method {method} does not exist")
        except (PlatformError, KeyError, IndexError, TypeError, ValueError) as exc:
            return _Refusal(_BAD_PARAMS, f"{exc}" or type(exc).__name__)

    async def _handle(self, method: str, params: list[Any], signer: str) -> object:
        first = params[0]
        if method == "eth_sendBundle":
            return {"bundleHash": await self._relay.submit(_bundle(first, signer))}
        if method == "eth_callBundle":
            return await self._call(first)
        if method == "eth_sendPrivateTransaction":
            return await self._private(_raw(first["tx"]), first.get("maxBlockNumber"), signer)
        if method == "eth_sendRawTransaction":
            return await self._private(_raw(first), None, signer)
        if method == "eth_cancelPrivateTransaction":
            return self._relay.cancel(str(first["txHash"]), signer)
        if method == "eth_cancelBundle":
            return self._relay.cancel(str(first["replacementUuid"]), signer)
        raise _UnknownMethod(method)

    async def _private(self, raw: bytes, block_max: str | None, signer: str) -> str:
        check_limits([raw])
        transaction, head = SignedTransaction.read(raw), await self._relay.client.head()
        last = int(block_max, 16) if block_max else head.number + _PRIVATE_BLOCKS
        # A range of at least two blocks tells it from a bundle; the last one still bounds it.
        bundle = Bundle((transaction,), min(head.number + 1, last - 1), last, signer=signer)
        return await self._relay.submit(bundle)

    async def _call(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        transactions = _transactions(wanted)
        state = wanted.get("stateBlockNumber", "latest")
        parent = await self._relay.client.block(int(state, 16) if str(state).startswith("0x") else state)
        results = await simulate(self._relay.client, transactions, parent)
        fees, paid = (sum(r.tip_wei for r in results), sum(r.paid_wei for r in results))
        return {
            "bundleHash": Bundle(tuple(transactions), 0, 0).hash,
            "bundleGasPrice": str(gas_price(results)),
            "coinbaseDiff": str(fees + paid),
            "ethSentToCoinbase": str(paid),
            "gasFees": str(fees),
            "results": [result.to_json() for result in results],
            "stateBlockNumber": parent.number,
            "totalGasUsed": sum(result.gas_used for result in results),
        }


class _UnknownMethod(Exception):
    """Nobody here knows it."""


class _Unsigned(Exception):
    """Nobody has signed the request, or somebody else than it says."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A JSON-RPC error to be answered."""

    code: int
    message: str
    status: int = 200


def _transactions(wanted: Mapping[str, Any]) -> list[SignedTransaction]:
    raws = [_raw(text) for text in wanted["txs"]]
    check_limits(raws)
    return [SignedTransaction.read(raw) for raw in raws]


def _bundle(wanted: Mapping[str, Any], signer: str) -> Bundle:
    block = int(wanted["blockNumber"], 16)
    return Bundle(
        transactions=tuple(_transactions(wanted)),
        first_block=block,
        last_block=block,
        may_revert=frozenset(str(text).lower() for text in wanted.get("revertingTxHashes") or ()),
        time_min_s=int(wanted.get("minTimestamp") or 0),
        time_max_s=int(wanted.get("maxTimestamp") or 0),
        replacement_uuid=str(wanted.get("replacementUuid") or ""),
        signer=signer,
    )


def _raw(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError as exc:
        raise InputError("a transaction is not hex") from exc


def _signer(header: str, body: bytes) -> Address:
    """Say who signed a request.

    Raises:
        _Unsigned: Nobody, or not the one it names.
    """
    named, _, signature = header.partition(":")
    try:
        claimed, parts = checksum(named), bytes.fromhex(signature.removeprefix("0x"))
        # coincurve wants the recovery id bare; wallets write it as 27 or 28 too.
        parts = parts[:64] + bytes([parts[64] % 27])
        text = ("0x" + keccak256(body).hex()).encode()
        digest = keccak256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
        key = PublicKey.from_signature_and_message(parts, digest, hasher=None).format(compressed=False)
    except (InputError, ValueError, IndexError) as exc:
        raise _Unsigned(f"the header {HEADER} is missing or malformed") from exc
    if checksum("0x" + keccak256(key[1:])[12:].hex()) != claimed:
        raise _Unsigned(f"the signature in {HEADER} is not by {claimed}")
    return claimed


def _respond(number: object, result: object) -> web.Response:
    answer: dict[str, object] = {"jsonrpc": "2.0", "id": number}
    status = result.status if isinstance(result, _Refusal) else 200
    if isinstance(result, _Refusal):
        answer["error"] = {"code": result.code, "message": result.message}
    else:
        answer["result"] = result
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json", status=status)
