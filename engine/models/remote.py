"""The model service as a strategy asks it: the same bits from another process, or from this one when it is silent.

The service must have the very model (by digest) and run the very version of ONNX Runtime that runs here; then both give
equal outputs (tests/api/test_model_service.py), and where one is computed decides nothing. A replay needs no service.
"""

from __future__ import annotations

import http.client
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from domain import InputError, VenueUnavailable
from engine.models.artefact import Card
from engine.models.features import Vectors
from engine.models.inference import LocalModel, runtime_version

_FAILURES_MAX: Final = 3
_PAUSE: Final = 100
"""After so many failures in a row the service is not asked for so many inputs."""
_ANSWER_BYTES_MAX: Final = 1 << 20


class _Answer(msgspec.Struct):
    model: str
    outputs: list[float]


class _Known(msgspec.Struct):
    digest: str


class _Models(msgspec.Struct):
    runtime: str
    models: list[_Known]


class RemoteModel:
    """One model of a service on this machine. Blocks, for `timeout_s` at most."""

    def __init__(self, url: str, digest: str, timeout_s: float) -> None:
        """Take note of where it is; nothing is asked yet.

        Raises:
            InputError: Not the address of this machine.
        """
        self._host, self._port = loopback(url)
        self._url, self._digest, self._timeout_s = url, digest, timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def check(self) -> None:
        """Ask whether the service has this model and computes as this process does.

        Raises:
            VenueUnavailable: It does not answer.
            InputError: It has another model, or another ONNX Runtime.
        """
        known = self._ask("GET", "/v1/models", None, _Models)
        if known.runtime != runtime_version():
            raise InputError(f"{self._url} runs ONNX Runtime {known.runtime}, this process {runtime_version()}")
        if self._digest not in {model.digest for model in known.models}:
            raise InputError(f"{self._url} does not serve model {self._digest[:16]}", hint="capstan models serve")

    def probability(self, x: Vectors) -> float:
        """Ask for the probability of one input.

        Raises:
            VenueUnavailable: No answer in time, or none that can be believed.
        """
        body = msgspec.json.encode({"inputs": [x.tolist()]})
        answer: _Answer = self._ask("POST", f"/v1/models/{self._digest}/predict", body, _Answer)
        if answer.model != self._digest or len(answer.outputs) != 1 or not 0.0 <= answer.outputs[0] <= 1.0:
            raise VenueUnavailable(f"{self._url} answered for {answer.model[:16]} with {len(answer.outputs)} outputs")
        return answer.outputs[0]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None, kind: type[Any]) -> Any:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read(_ANSWER_BYTES_MAX)
            if response.status != 200:
                raise VenueUnavailable(
                    f"{self._url}{path} answered {response.status}: {content[:200].decode(errors='replace')}"
                )
            return msgspec.json.decode(content, type=kind)
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as exc:
            self.close()
            raise VenueUnavailable(
                f"the model service at {self._url} does not answer: {exc or type(exc).__name__}"
            ) from exc
        except VenueUnavailable:
            self.close()
            raise


class ServedModel:
    """A model that the service computes, and this process when the service does not."""

    def __init__(self, local: LocalModel, remote: RemoteModel) -> None:
        self._local, self._remote = local, remote
        self._failures = self._skip = 0
        self._is_checked = False
        self.fallbacks = 0
        """Inputs that were computed here."""
        self.refusal = ""
        """Why the service is not asked at all: it has another model, or computes it with another version."""

    @property
    def card(self) -> Card:
        return self._local.card

    def probability(self, x: Vectors) -> float:
        """Give the probability of a rise for one input: the same number whoever computes it."""
        if self._skip:
            self._skip -= 1
        elif not self.refusal:
            try:
                if not self._is_checked:
                    self._remote.check()
                    self._is_checked = True
                answer = self._remote.probability(x)
            except InputError as exc:
                self.refusal = str(exc)
            except VenueUnavailable:
                self._failures, self._is_checked = self._failures + 1, False  # It may come back as another.
                if self._failures >= _FAILURES_MAX:
                    self._failures, self._skip = 0, _PAUSE
            else:
                self._failures = 0
                return answer
        self.fallbacks += 1
        return self._local.probability(x)


def loopback(url: str) -> tuple[str, int]:
    """Give host and port of an `http://` address of this machine.

    Raises:
        InputError: Another scheme, another machine: what a model says would arrive unauthenticated.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 80
        is_ours = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_ours, host, port = False, "", 0
    if parts.scheme != "http" or not is_ours:
        raise InputError(f"{url!r} is no http address of this machine", hint="for example http://127.0.0.1:8470")
    return host, port
