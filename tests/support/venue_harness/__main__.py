"""Run the harness, and write the matrix and its pages; `--check` only says whether they are current."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import structlog

from tests.support.venue_harness.files import FOLDER, made_files
from tests.support.venue_harness.run import survey


def main() -> int:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = asyncio.run(survey())
    for fault in found.faults:
        sys.stderr.write(f"error: {fault}\n")
    if found.faults:
        return 1
    made = made_files(found.venues)
    stale = [name for name, text in made.items() if not _same(FOLDER / name, text)]
    if "--check" in sys.argv:
        sys.stderr.writelines(f"error: {name} is not current: make venues\n" for name in stale)
        return int(bool(stale))
    for name in stale:
        (FOLDER / name).write_text(made[name])
    trading = sum(venue.trades for venue in found.venues)
    sys.stdout.write(f"{len(found.venues)} venues, {trading} to trade on; {len(stale)} files written\n")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


sys.exit(main())
