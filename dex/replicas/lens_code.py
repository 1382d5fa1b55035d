"""The lenses' creation code, shipped in `dex/bytecode`: an installed platform needs neither forge nor node."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chain.shipped import shipped_code

_CODE: Final = Path(__file__).parents[1] / "bytecode"


def lens_code(name: str) -> bytes:
    """Give a lens contract's creation code.

    Raises:
        InputError: There is no such lens.
    """
    return shipped_code(_CODE, name, "lens")
