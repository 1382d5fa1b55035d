"""The signer as a process of its own: keys behind a Unix socket, a guard and a sign-once journal before them.

Every request is parsed again here, judged by this process's own guard and journalled before the key is touched. A
client that lies, or was taken over, gets what the policy allows and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import structlog
from capstan_native import keccak256 as keccak

from domain import Address, InputError, PlatformError, Refused
from wallets.evidence import Evidence, read_evidence
from wallets.freezing import SignerFreeze, check_words, frozen
from wallets.guard import Guard, Spent
from wallets.journal import Journalled, SigningJournal
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    TransactionToSign,
    TypedDataToSign,
    unhex,
)
from wallets.signer import KeySigner, LocalSigner, check_network
from wallets.wire import LINE_BYTES_MAX, decode_line, encode_line, error_message

log = structlog.get_logger(__name__)

_IDLE_S: Final = 30.0
_CONNECTIONS_MAX: Final = 64


class SignerService:
    """Answers signing requests for a set of keys.

    Args:
        signers: The keys, one signer each.
        guard: Judges every request; see `wallets.guard`.
        journal: Owned by this service alone.
    """

    def __init__(self, signers: Sequence[LocalSigner], *, guard: Guard, journal: SigningJournal) -> None:
        self._signers = {str(signer.address): signer for signer in signers}
        self._guard = guard
        self._journal = journal
        self._connections = 0
        self._freezes_asked = 0
        self._frozen: SignerFreeze | None = None

    async def serve(self, path: Path, stop: asyncio.Event, *, ready: asyncio.Event | None = None) -> None:
        """Listen on a Unix socket until `stop` is set.

        Only processes of the same user are answered (socket mode 0600, and the peer's uid is asked of the kernel).

        Raises:
            InputError: Another signer listens there, or the path is not a socket.
        """
        await clear_stale_socket(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = os.umask(0o177)  # the socket must never exist with wider rights, not even for a moment
        try:
            server = await asyncio.start_unix_server(self._converse, path, limit=LINE_BYTES_MAX)
        except OSError as exc:
            raise InputError(f"cannot listen on {path}: {exc.strerror}") from exc
        finally:
            os.umask(before)
        async with server:
            log.info("signer.listening", socket=str(path), keys=sorted(self._signers))
            if ready is not None:
                ready.set()
            await stop.wait()
        path.unlink(missing_ok=True)

    @property
    def addresses(self) -> list[Address]:
        """The accounts that can be signed for."""
        return sorted(signer.address for signer in self._signers.values())

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request of the socket's protocol; errors of the tree become an `error` answer."""
        method = request.get("method")
        try:
            if method == "accounts":
                return {"result": self.addresses}
            if method == "freeze":
                freeze = await self.freeze(str(request.get("source")), str(request.get("reason")))
                return {"result": _wire(freeze)}
            if method == "freezes":
                return {"result": [_wire(freeze) for freeze in await asyncio.to_thread(self._journal.freezes)]}
            try:
                network = Network(str(request.get("network")))
            except ValueError as exc:
                raise InputError("network must be devnet, testnet or live") from exc
            result = await self._sign(method, str(request.get("signer")), network, request)
        except PlatformError as exc:
            log_declined(str(method), exc)
            return error_message(exc)
        return {"result": result}

    async def freeze(self, source: str, reason: str) -> SignerFreeze:
        """Sign nothing from here on, not even what is being signed now; a restart keeps it.

        There is no opposite here: an operator lifts a freeze beside the signer (`SigningJournal.lift`).

        Raises:
            InputError: No name, or no reason.
            VenueUnavailable: The journal cannot be written. This process signs nothing until it is restarted.
        """
        check_words(source, reason)
        self._freezes_asked += 1
        # Held in memory before it is durable: what is being signed at this moment does not leave either.
        self._frozen = SignerFreeze(0, source, reason, 0)
        self._frozen = await asyncio.wrap_future(self._journal.begin_freeze(source, reason))
        log.warning("signer.frozen", source=source, reason=reason, freeze=self._frozen.number)
        return self._frozen

    async def sign_transaction(
        self, sender: str, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Judge, journal and sign a transaction. The same transaction again gives the same bytes.

        Raises:
            InputError: No such key here.
            Refused: Frozen (`signer-frozen`), or by the guard, the journal (`sign-once`, `replacement-fee`) or the key
                (`test-key`).
            VenueUnavailable: The journal or the device is not available; nothing has left.
        """
        signer = self._signer(sender)
        # The key refuses as well; asked before the journal, so that no nonce is spent on what is never signed.
        check_network(signer.address, is_test_key=signer.is_test_key, network=network)

        def judge(spent: Spent) -> Mapping[str, int]:
            return self._guard.check_transaction(signer.address, tx, network=network, spent=spent, evidence=evidence)

        await self._allowed(self._journal.begin_record(signer.address, tx, judge))

        async def sign() -> bytes:
            return (await signer.sign_transaction(tx, network=network, evidence=evidence)).raw

        raw = await self._sign_or_repeat(signer, tx, sign)
        self._check_frozen()
        signed = SignedTransaction(raw, "0x" + keccak(raw).hex(), signer.address)
        log.info("signer.signed", signer=signer.address, chain_id=tx.chain_id, nonce=tx.nonce, tx_hash=signed.hash)
        return signed

    async def sign_message(
        self, sender: str, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Judge and sign a personal message; errors as `sign_transaction`."""
        signer = self._signer(sender)
        await self._allowed(self._journal.begin_check())
        self._guard.check_message(signer.address, message, network=network, evidence=evidence)
        signature = await signer.sign_message(message, network=network, evidence=evidence)
        self._check_frozen()
        return signature

    async def sign_typed_data(
        self, sender: str, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Judge and sign a document; errors as `sign_transaction`."""
        signer = self._signer(sender)
        await self._allowed(self._journal.begin_check())
        self._guard.check_typed_data(signer.address, data, network=network, evidence=evidence)
        signature = await signer.sign_typed_data(data, network=network, evidence=evidence)
        self._check_frozen()
        return signature

    async def sign_authorization(
        self,
        sender: str,
        authorization: AuthorizationToSign,
        *,
        network: Network,
        evidence: Evidence | None = None,
    ) -> SignedAuthorization:
        """Judge, journal and sign an authorization, which uses up its nonce; errors as `sign_transaction`."""
        signer = self._signer(sender)
        check_network(signer.address, is_test_key=signer.is_test_key, network=network)

        def judge(_spent: Spent) -> Mapping[str, int]:
            self._guard.check_authorization(signer.address, authorization, network=network, evidence=evidence)
            return {}

        await self._allowed(self._journal.begin_record(signer.address, authorization, judge))

        async def sign() -> bytes:
            signed = await signer.sign_authorization(authorization, network=network, evidence=evidence)
            return signed.signature.to_bytes()

        signature = Signature.from_bytes(await self._sign_or_repeat(signer, authorization, sign))
        self._check_frozen()
        log.info("signer.authorized", signer=signer.address, delegate=authorization.delegate)
        return SignedAuthorization(authorization, signature)

    async def _sign(self, method: Any, sender: str, network: Network, request: Mapping[str, Any]) -> dict[str, Any]:
        self._signer(sender)
        payload, evidence = request.get("payload"), read_evidence(request.get("evidence"))
        if not isinstance(payload, dict):
            raise InputError("payload must be an object")
        if method == "sign_transaction":
            signed = await self.sign_transaction(
                sender, TransactionToSign.from_wire(payload), network=network, evidence=evidence
            )
            return {"raw": "0x" + signed.raw.hex(), "hash": signed.hash}
        if method == "sign_message":
            signature = await self.sign_message(
                sender, MessageToSign(_content(payload)), network=network, evidence=evidence
            )
        elif method == "sign_typed_data":
            signature = await self.sign_typed_data(sender, TypedDataToSign(payload), network=network, evidence=evidence)
        elif method == "sign_authorization":
            authorized = await self.sign_authorization(
                sender, AuthorizationToSign.from_wire(payload), network=network, evidence=evidence
            )
            signature = authorized.signature
        else:
            raise InputError(f"unknown method {str(method)[:40]!r}")
        return {"signature": "0x" + signature.to_bytes().hex()}

    async def _sign_or_repeat(
        self, signer: LocalSigner, payload: Journalled, sign: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        if isinstance(signer, KeySigner):  # RFC 6979: it repeats itself
            return await sign()
        kept = await asyncio.wrap_future(self._journal.begin_answer_of(signer.address, payload))
        if kept is None:
            kept = await asyncio.wrap_future(self._journal.begin_keep(signer.address, payload, await sign()))
        return kept

    async def _allowed(self, passed: Future[None]) -> None:
        """Wait for the journal's word; it alone knows that a freeze was lifted."""
        asked = self._freezes_asked
        await asyncio.wrap_future(passed)
        # Passed, so no freeze stands; unless one was asked for since, or never became durable.
        if self._freezes_asked == asked and self._frozen is not None and self._frozen.number:
            self._frozen = None
        self._check_frozen()

    def _check_frozen(self) -> None:
        if self._frozen is not None:
            raise frozen(self._frozen)

    def _signer(self, address: str) -> LocalSigner:
        signer = self._signers.get(address)
        if signer is None:
            raise InputError(f"no key for {address[:64]!r} here")
        return signer

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= _CONNECTIONS_MAX or not _is_same_user(writer):
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        line = await reader.readline()
                    if not line:
                        return
                    reply = await self.answer(decode_line(line))
                except ValueError:  # longer than LINE_BYTES_MAX: where the next message begins is unknown
                    writer.write(encode_line(error_message(InputError(f"a line has at most {LINE_BYTES_MAX} bytes"))))
                    await writer.drain()
                    return
                except InputError as exc:
                    reply = error_message(exc)
                writer.write(encode_line(reply))
                async with asyncio.timeout(_IDLE_S):
                    await writer.drain()
        except (ConnectionError, TimeoutError):
            return
        finally:
            self._connections -= 1
            writer.close()


def log_declined(method: str, exc: PlatformError) -> None:
    """Leave a trace of a request that was not carried out."""
    log.warning(
        "signer.declined",
        method=method[:40],
        kind=type(exc).__name__,
        rule=exc.rule if isinstance(exc, Refused) else "",
        reason=str(exc),
    )


def _wire(freeze: SignerFreeze) -> dict[str, Any]:
    return {"number": freeze.number, "source": freeze.source, "reason": freeze.reason, "time_ns": freeze.time_ns}


def _content(payload: Mapping[str, Any]) -> bytes:
    try:
        return unhex(payload["content"])
    except (KeyError, ValueError) as exc:
        raise InputError("a message's payload is its content as 0x-hex") from exc


def _is_same_user(writer: asyncio.StreamWriter) -> bool:
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())


async def clear_stale_socket(path: Path) -> None:
    """Remove what a killed signer left behind; never another signer's live socket, never a file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InputError(f"{path} exists and is not a socket")
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
        return
    except TimeoutError:
        pass
    else:
        writer.close()
    raise InputError(f"another signer listens on {path}", hint="stop it first, or choose another socket")
