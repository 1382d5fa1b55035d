"""What the native kernel's steps cost: a market event with nobody woken, the journal, an order, moved quotes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.rows import Row

_MANIFEST = Path(__file__).parents[1] / "native" / "Cargo.toml"
_NAMES = {
    "market_event": "market event, nobody woken",
    "market_event_with_subscriber": "market event, one subscriber to books",
    "journal": "journal record, block and checksum",
    "place": "place to command through the gate",
    "place_accept_cancel_end": "order's life: place, accept, cancel, end",
    "targets_amend_ack": "target quotes moved: amend and answer",
}


def run() -> list[Row]:
    """Build the example in release mode and measure; takes a few seconds once it is built."""
    command = ["cargo", "run", "--release", "--quiet", "--locked", "--manifest-path", str(_MANIFEST)]
    command += ["-p", "capstan-engine", "--example", "kernel_costs"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return [
        Row(topic="engine", name=_NAMES[key], value=value, unit="ns", peer="", ratio=0, target=0, ok=None)
        for key, value in json.loads(printed).items()
    ]
