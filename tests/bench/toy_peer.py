"""A peer without an engine: counts what it is given. Run as a process by test_comparison."""

from __future__ import annotations

import sys

from bench.peers.child import serve


def count(feed, parameters, watch):
    watch.start()
    total = sum(range(parameters["work"]))
    watch.stop()
    print("chatter of a library")
    first = feed.once("first", lambda: int(feed.records["price"][0]))
    return {"rows": len(feed.records), "total": total, "first": first}


def die(feed, parameters, watch):
    print("why it died", file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    serve({"toy": "1"}, {"count": count, "die": die})
