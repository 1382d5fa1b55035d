"""The lenses' creation code, shipped in `dex/bytecode`: an installed platform needs neither forge nor node."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from domain.errors import InputError

_CODE: Final = Path(__file__).parents[1] / "bytecode"


@lru_cache(maxsize=16)
def lens_code(name: str) -> bytes:
    """Give a lens contract's creation code, as `scripts/contract-bytecode` copied it from forge's output.

    Raises:
        InputError: There is no such lens.
    """
    path = _CODE / f"{name}.hex"
    try:
        return bytes.fromhex(path.read_text().strip())
    except FileNotFoundError as exc:
        raise InputError(f"there is no lens {name}", hint="After adding one, run scripts/contract-bytecode.") from exc
