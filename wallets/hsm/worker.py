"""A signer process of the HSM pool: one thread, one session, requests on standard input, answers on standard output.

Started as `python -m wallets.hsm.worker`. JSON lines: the first line names the module, the token, the PIN and the keys
(the PIN never stands in an argument or the environment). Each request is a payload, parsed and hashed here, inside the
process that holds the session; no request carries a hash. Answers come in the order of the requests. End of input ends
the process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from domain import InputError, InvariantError, PlatformError, VenueUnavailable
from runtime import Secret
from runtime.processes import die_with_parent
from wallets.hardening import harden_memory
from wallets.hsm.token import RECOVERY_S, HsmToken, WrongPin
from wallets.payloads import AuthorizationToSign, MessageToSign, TransactionToSign, TypedDataToSign, unhex
from wallets.transactions import signing_digest
from wallets.wire import decode_line, encode_line, error_message

_RETRY_S: Final = 0.03


def main() -> None:
    """Serve until the input ends."""
    die_with_parent()
    harden_memory()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        worker = Worker(decode_line(requests.readline()))
    except PlatformError as exc:
        _answer(answers, error_message(exc))
        return
    _answer(answers, {"result": worker.describe()})
    while line := requests.readline():
        try:
            _answer(answers, {"result": worker.sign(decode_line(line))})
        except PlatformError as exc:
            _answer(answers, error_message(exc))


class Worker:
    """Signs payloads with the keys of one token, and opens the token again when it was away.

    Signing again after a failure is safe: nothing had left, and the journal has admitted these bytes only.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        *,
        now_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now_s = now_s
        self._pause = pause
        self._token = HsmToken(str(start["module"]), str(start["token"]), Secret(str(start["pin"])))
        self._keys = {label: self._token.key(label) for label in map(str, start["keys"])}

    def describe(self) -> list[dict[str, Any]]:
        """Tell the public side of every key."""
        return [
            {"label": key.label, "public_key": "0x" + key.public_key.hex(), "is_test_key": key.is_test_key}
            for key in self._keys.values()
        ]

    def sign(self, request: Mapping[str, Any]) -> str:
        """Sign one payload; gives the token's r and s as 0x-hex, which the parent completes and recovers."""
        label = str(request.get("key"))
        if label not in self._keys:
            raise InputError(f"no key {label!r} here")
        digest = _digest(request.get("kind"), request.get("payload"))
        try:
            raw = self._token.sign_raw_unchecked(label, digest)
        except VenueUnavailable:
            raw = self._sign_after_recovery(label, digest)
        return "0x" + raw.hex()

    def _sign_after_recovery(self, label: str, digest: bytes) -> bytes:
        deadline = self._now_s() + RECOVERY_S
        while True:
            try:
                self._token.reopen()
                if self._token.key(label) != self._keys[label]:
                    raise InvariantError(f"the token came back with another key under {label!r}")
                return self._token.sign_raw_unchecked(label, digest)
            except WrongPin:
                raise  # each try counts, and tokens lock
            except (VenueUnavailable, InputError) as exc:  # a token that is coming back may lack its keys for a moment
                if self._now_s() >= deadline:
                    raise VenueUnavailable(f"the token is away, nothing was signed: {exc}") from exc
            self._pause(_RETRY_S)


def _digest(kind: Any, payload: Any) -> bytes:
    if not isinstance(payload, dict):
        raise InputError("payload must be an object")
    if kind == "transaction":
        return signing_digest(TransactionToSign.from_wire(payload))
    if kind == "message":
        try:
            return MessageToSign(unhex(payload["content"])).digest()
        except (KeyError, ValueError) as exc:
            raise InputError("a message's payload is its content as 0x-hex") from exc
    if kind == "typed_data":
        return TypedDataToSign(payload).digest()
    if kind == "authorization":
        return AuthorizationToSign.from_wire(payload).digest()
    raise InputError(f"unknown kind {str(kind)[:40]!r}")


def _answer(answers: IO[bytes], message: Mapping[str, Any]) -> None:
    answers.write(encode_line(message))
    answers.flush()


if __name__ == "__main__":
    main()
