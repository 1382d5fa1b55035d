"""Secrets by reference, resolved late, printed never.

Configuration holds `file:/run/secrets/key`, `env:NAME` or `literal-test:value`, never the secret itself. The last form
exists for sandboxes whose secrets are published in their own documentation; it is refused for real venues.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator

from domain import InputError
from runtime.redaction import remember

_SCHEMES = ("file:", "env:", "literal-test:")


class Secret:
    """Text that does not show itself: not in repr, str, format, pickles or tracebacks' locals."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Give the text to the one call that needs it; do not keep it."""
        return self.__value

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What signs requests to an exchange; none of it shows itself."""

    key: Secret
    secret: Secret
    passphrase: Secret | None = None


def resolve_secret(reference: str, *, base_dir: Path | None = None, allow_literal: bool = False) -> Secret:
    """Read the secret a reference names.

    Args:
        reference: `file:PATH` (trailing newline dropped; relative to `base_dir`), `env:NAME`, or `literal-test:VALUE`.
        base_dir: Folder of the configuration file.
        allow_literal: Whether a literal is acceptable: sandboxes only.

    Raises:
        InputError: Unknown form, missing file or variable, or an empty secret. The message names the reference only.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "file":
        path = Path(rest) if base_dir is None else base_dir / rest
        try:
            value = path.read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"cannot read secret {reference}: {type(exc).__name__}") from exc
    elif scheme == "env":
        if rest not in os.environ:
            raise InputError(f"secret {reference}: the variable is not set")
        value = os.environ[rest]
    elif scheme == "literal-test" and allow_literal:
        value = rest
    else:
        raise InputError(
            "a secret must be given by reference",
            hint="write file:PATH or env:NAME; literal-test: is for sandboxes only",
        )
    if not value:
        raise InputError(f"secret {reference} is empty", hint="put the secret there; a trailing newline does not count")
    if scheme != "literal-test":
        remember(value)
    return Secret(value)


def _check(value: Any) -> Any:
    if isinstance(value, str) and not value.startswith(_SCHEMES):
        # The value is not repeated: it may be the secret itself, pasted by mistake.
        raise ValueError("expected a reference such as file:PATH or env:NAME")
    return value


SecretRef = Annotated[str, AfterValidator(_check)]
"""A settings field that holds a reference to a secret."""
