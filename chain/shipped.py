"""Creation code of contracts of ours, as `scripts/contract-bytecode` copied it from forge's output into a package.

So that an installed platform needs neither forge nor node.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from domain.errors import InputError


@lru_cache(maxsize=32)
def shipped_code(folder: Path, name: str, kind: str = "contract") -> bytes:
    """Give a contract's creation code, before its constructor's arguments.

    Args:
        folder: The package's `bytecode` folder.
        name: The contract's.
        kind: What to call it in the error.

    Raises:
        InputError: There is no such contract.
    """
    try:
        return bytes.fromhex((folder / f"{name}.hex").read_text().strip())
    except FileNotFoundError as exc:
        raise InputError(f"there is no {kind} {name}", hint="After adding one, run scripts/contract-bytecode.") from exc
