"""`make bench [TOPIC=…]`: run the benches, print a table, write `bench/results.json`."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.rows import Row, notes
from runtime import configure_logging

HERE = Path(__file__).parent


def main(topic: str = "") -> int:
    """Run every module of a topic, or the one named (all, when empty); exit code 1 when a target is missed."""
    found = sorted(path.stem for path in HERE.glob("*_*.py") if not path.stem.startswith("_"))
    modules = [name for name in found if name.startswith(topic)]
    if not modules:
        known = sorted({name.partition("_")[0] for name in found})
        print(f"error: no bench for topic {topic!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    configure_logging(level="WARNING")
    console, rows = Console(stderr=True), list[Row]()
    for number, name in enumerate(modules, 1):
        began = time.monotonic()
        console.print(f"[{number}/{len(modules)}] {name} …", end=" ")
        rows += import_module(f"bench.{name}").run()
        console.print(f"{time.monotonic() - began:.1f} s")
    table = Table("topic", "figure", "value", "unit", "peer", "ratio", "target", "", box=None, pad_edge=False)
    for row in rows:
        verdict = {True: "[green]ok[/]", False: "[red]missed[/]", None: ""}[row["ok"]]
        ratio = f"{row['ratio']:.1f}x" if row["ratio"] else ""
        target = f"{row['target']:g}x" if row["target"] else ""
        table.add_row(row["topic"], row["name"], f"{row['value']:g}", row["unit"], row["peer"], ratio, target, verdict)
    Console().print(table)
    for text in notes:
        print(f"\n{text}")
    (HERE / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    return 0 if all(row["ok"] is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
