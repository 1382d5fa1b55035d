"""Where a configuration's data lies."""

from __future__ import annotations

import os
from pathlib import Path

from domain import InputError


def data_path(path: Path, folder: Path) -> Path:
    """Fill in `$CAPSTAN_DATA` at the beginning; other relative paths begin in `folder`.

    Raises:
        InputError: The variable is needed and not set.
    """
    text = str(path)
    if text.startswith("$CAPSTAN_DATA"):
        root = os.environ.get("CAPSTAN_DATA")
        if not root:
            raise InputError(f"{text}: CAPSTAN_DATA is not set", hint="set it to the folder that holds market/")
        return Path(root + text.removeprefix("$CAPSTAN_DATA"))
    return folder / path
