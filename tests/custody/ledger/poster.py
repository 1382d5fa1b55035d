"""Books for several callers until it is killed; says on standard output what it was told is durable."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time

from custody.ledger import Entry, Ledger, Posting
from domain import Refused
from runtime.database import Database


def main(url: str, run: str) -> None:
    ledger = Ledger(Database(url), time.time_ns)

    def post(caller: int) -> None:
        for number in itertools.count():
            key = f"{run}/{caller}/{number}"
            raw = 3 if number % 4 else -10  # Now and then more than the user has.
            legs = (Posting(f"user/u{caller}/available", "x/A", -raw), Posting("venue/v", "x/A", raw))
            try:
                ledger.post(Entry(key, "test", legs))
            except Refused:
                continue
            os.write(1, f"{key}\n".encode())

    for caller in range(8):
        threading.Thread(target=post, args=(caller,), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
