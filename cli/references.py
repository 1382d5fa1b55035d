"""Secrets as commands take them: by reference, into a process that was hardened before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime import Secret


def read_secret(reference: str) -> Secret:
    """Read the secret a reference names; from then on this process leaves no core file and nothing in swap."""
    from runtime.secrets import resolve_secret
    from wallets.hardening import harden_memory

    harden_memory()
    return resolve_secret(reference)


def read_optional(reference: str | None) -> Secret | None:
    """Read a secret that may be absent."""
    return None if reference is None else read_secret(reference)


def take_secret(reference: str, *, base_dir: Path | None = None) -> Secret:
    """Read a secret once, for a process that lives on: a variable is erased, also from what children inherit."""
    from runtime.secrets import resolve_secret
    from wallets.hardening import forget_variable

    secret = resolve_secret(reference, base_dir=base_dir)
    if reference.startswith("env:"):
        forget_variable(reference.removeprefix("env:"))
    return secret
