"""A tear sheet for a database: compressed, without the five megabytes of charting library that all of them share."""

from __future__ import annotations

import zlib
from typing import Final

_LIBRARY: Final = "<!-- charts -->"


def pack(page: str) -> bytes:
    """Take the library out of a page and compress the rest."""
    return zlib.compress(page.replace(_library(), _LIBRARY, 1).encode(), 6)


def unpack(packed: bytes) -> str:
    """Give the page with the library that is installed now."""
    return zlib.decompress(packed).decode().replace(_LIBRARY, _library(), 1)


def _library() -> str:
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text
