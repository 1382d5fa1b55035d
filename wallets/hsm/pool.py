"""A pool of single-threaded signer processes before one token, and the signers that use it.

Workers are started one after another (tokens dislike being opened by many at once), each holds a session of its own,
and one that dies is replaced. A request goes to the worker with the fewest before it; a worker that dies with requests
takes none of them along: nothing has left it, so each is told `VenueUnavailable` and may be asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, Self

import structlog
from coincurve import PublicKey

from domain import Address, InputError, InvariantError, VenueUnavailable
from runtime import Secret
from wallets.evidence import Evidence
from wallets.hsm.ecdsa import complete
from wallets.hsm.token import RECOVERY_S
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
from wallets.signer import check_network
from wallets.transactions import address_of, assemble, signing_digest
from wallets.wire import LINE_BYTES_MAX, decode_line, encode_line, error_from

log = structlog.get_logger(__name__)

_START_TIMEOUT_S: Final = 30.0
_REQUEST_TIMEOUT_S: Final = RECOVERY_S + 5.0
_QUEUE_MAX: Final = 256
"""Requests waiting at one worker; beyond it callers are told that the pool is busy."""
_RESTART_WAIT_S: Final = 0.1
_RESTART_WAIT_S_MAX: Final = 5.0


class HsmPool:
    """Signer processes for some keys of one token. Use it as an async context manager; `signers` is ready inside.

    Args:
        module: The vendor's PKCS#11 library.
        token: The token's label.
        pin: The user's PIN, handed to the workers over their standard input.
        keys: Labels of the keys to serve.
        workers: Processes. More than the machine (or the device) has cores brings nothing.

    Raises:
        InputError: A key is unknown or readable, the PIN is wrong, the module cannot be loaded.
        VenueUnavailable: The token is not there.
    """

    def __init__(self, module: str, token: str, pin: Secret, keys: Sequence[str], *, workers: int = 2) -> None:
        if workers < 1 or not keys:
            raise InputError("a pool needs a worker and a key")
        self._start_line = {"module": module, "token": token, "keys": list(keys)}
        self._pin = pin
        self._workers = [_Worker() for _ in range(workers)]
        self._starting = asyncio.Lock()
        self._tasks = asyncio.TaskGroup()
        self._keepers: list[asyncio.Task[None]] = []
        self.signers: tuple[HsmSigner, ...] = ()

    async def __aenter__(self) -> Self:
        try:
            for worker in self._workers:
                self._introduce(await self._start(worker))
        except BaseException:
            await self._stop()
            raise
        await self._tasks.__aenter__()
        for number, worker in enumerate(self._workers):
            self._keepers.append(self._tasks.create_task(self._keep(worker), name=f"hsm.worker.{number}"))
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        try:
            await self._tasks.__aexit__(*exc)
        finally:
            await self._stop()

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None]

    async def sign(self, label: str, kind: str, payload: Mapping[str, Any]) -> bytes:
        """Have a payload signed by a worker; gives r and s as the token does. The caller completes and recovers them.

        Raises:
            VenueUnavailable: No worker runs, all are busy, or the token stayed away. Nothing has left.
        """
        line = encode_line({"key": label, "kind": kind, "payload": dict(payload)})
        if len(line) > LINE_BYTES_MAX:
            raise InputError(f"the payload is {len(line)} bytes long, the worker reads {LINE_BYTES_MAX}")
        ready = [worker for worker in self._workers if worker.is_ready]
        if not ready:
            raise VenueUnavailable("no HSM worker runs at the moment")
        worker = min(ready, key=lambda worker: len(worker.waiting))
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                result = await worker.ask(line)
        except TimeoutError as exc:
            raise VenueUnavailable("the HSM did not answer in time") from exc
        try:
            return unhex(result)
        except ValueError as exc:
            raise InvariantError("the HSM worker's answer is no signature") from exc

    def _introduce(self, keys: Any) -> None:
        signers = tuple(
            HsmSigner(
                self,
                str(key["label"]),
                unhex(key["public_key"]),
                is_test_key=key["is_test_key"] is True,
            )
            for key in keys
        )
        addresses = [signer.address for signer in signers]
        if self.signers and addresses != [signer.address for signer in self.signers]:
            raise InvariantError("two workers see different keys under the same labels")
        self.signers = self.signers or signers

    async def _start(self, worker: _Worker) -> Any:
        async with self._starting:
            worker.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wallets.hsm.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
                start_new_session=True,  # a terminal's Ctrl-C must reach us alone
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    worker.write(encode_line({**self._start_line, "pin": self._pin.reveal()}))
                    described = _result(await worker.read_line())
            except (OSError, TimeoutError, EOFError) as exc:
                await worker.stop()
                raise VenueUnavailable("an HSM worker did not start") from exc
            worker.is_ready = True
            return described

    async def _keep(self, worker: _Worker) -> None:
        """Deliver a worker's answers; start it again when it has died."""
        wait_s = _RESTART_WAIT_S
        while True:
            if worker.is_ready:
                wait_s = _RESTART_WAIT_S
                with contextlib.suppress(EOFError, OSError):
                    await worker.deliver()
                log.warning("hsm.worker.died", waiting=len(worker.waiting))
            await worker.stop()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RESTART_WAIT_S_MAX)
            try:
                self._introduce(await self._start(worker))
            except (VenueUnavailable, InputError) as exc:
                # A wrong PIN is not tried for ever: the token would lock.
                log.warning("hsm.worker.not_started", reason=str(exc))
                if isinstance(exc, InputError):
                    return

    async def _stop(self) -> None:
        for worker in self._workers:
            await worker.stop()


class _Worker:
    """One process and the requests it has not answered yet, oldest first."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.is_ready = False

    def write(self, line: bytes) -> None:
        if self.process is None or self.process.stdin is None:
            raise OSError("the worker does not run")
        self.process.stdin.write(line)

    async def read_line(self) -> bytes:
        if self.process is None or self.process.stdout is None:
            raise EOFError
        line = await self.process.stdout.readline()
        if not line:
            raise EOFError
        return line

    async def ask(self, line: bytes) -> Any:
        if len(self.waiting) >= _QUEUE_MAX:
            raise VenueUnavailable("all HSM workers are busy")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)  # an answer nobody waits for any more is still taken from the line in its turn
        self.write(line)
        return await answer

    async def deliver(self) -> None:
        while True:
            line = await self.read_line()
            answer = self.waiting.popleft()
            if answer.done():
                continue
            try:
                answer.set_result(_result(line))
            except Exception as exc:
                answer.set_exception(exc)

    async def stop(self) -> None:
        """End the process and tell everyone who waits."""
        self.is_ready = False
        process, self.process = self.process, None
        while self.waiting:
            if not (answer := self.waiting.popleft()).done():
                answer.set_exception(VenueUnavailable("the HSM worker died; nothing was signed"))
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it holds nothing that needs tidying: the session dies with it
            await process.wait()


class HsmSigner:
    """One key of a token, as `wallets.signer.LocalSigner`. Not deterministic: a token chooses its own nonces."""

    def __init__(self, pool: HsmPool, label: str, public_key: bytes, *, is_test_key: bool) -> None:
        self._pool = pool
        self._label = label
        self._public_key = public_key
        self._address = address_of(PublicKey(public_key))
        self._is_test_key = is_test_key

    @property
    def address(self) -> Address:
        return self._address

    @property
    def is_test_key(self) -> bool:
        """Whether the key signs on devnets, and nowhere else."""
        return self._is_test_key

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Sign a transaction; returns the raw bytes."""
        self._check_network(network)
        raw = await self._pool.sign(self._label, "transaction", tx.to_wire())
        return assemble(tx, self._checked(signing_digest(tx), raw), self._address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Sign a personal message (EIP-191)."""
        self._check_network(network)
        raw = await self._pool.sign(self._label, "message", {"content": "0x" + message.content.hex()})
        return self._checked(message.digest(), raw)

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Sign a document (EIP-712)."""
        self._check_network(network)
        raw = await self._pool.sign(self._label, "typed_data", data.document)
        return self._checked(data.digest(), raw)

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Sign an authorization (EIP-7702)."""
        self._check_network(network)
        raw = await self._pool.sign(self._label, "authorization", authorization.to_wire())
        return SignedAuthorization(authorization, self._checked(authorization.digest(), raw))

    def _checked(self, digest: bytes, raw: bytes) -> Signature:
        return complete(raw, digest, self._public_key)

    def _check_network(self, network: Network) -> None:
        check_network(self._address, is_test_key=self._is_test_key, network=network)

    def __repr__(self) -> str:
        return f"HsmSigner({self._address}, {self._label!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not serialised")


def _result(line: bytes) -> Any:
    message = decode_line(line)
    if isinstance(error := message.get("error"), dict):
        raise error_from(error)
    return message.get("result")
