"""How far queue models are from the truth: when an order would have traded, in an L3 market that is known whole.

    uv run python -m tests.support.queue_error

prints the table of docs/simulation.md.
"""

from __future__ import annotations

from typing import Any

import capstan_native as native
import numpy as np

from engine.records import COMMAND, EVENT, CommandKind, EventKind
from tests.support.l3_market import STEP_NS, L3Market, records

MODELS = ("risk_averse", "power1", "power2", "power3", "power4", "log")
PROBE_EVERY = 40
HORIZON_NS = 4_000 * STEP_NS


def probes(market: L3Market, events: int) -> np.ndarray[Any, Any]:
    """Let the market happen, and every so often join the best level's end with one lot, cancelled at the horizon."""
    rows = []
    for count, now in enumerate(market.run(events)):
        if count % PROBE_EVERY == 0 and now + HORIZON_NS < events * STEP_NS:
            side, number = count // PROBE_EVERY % 2, len(rows) // 2 + 1
            rows.append((now, CommandKind.PLACE, number, side, market.best(side)))
            rows.append((now + HORIZON_NS, CommandKind.CANCEL, number, side, 0))
    market.publish()
    commands = np.zeros(len(rows), COMMAND)
    rows.sort()
    for at, (time, kind, number, side, price) in enumerate(rows):
        row = commands[at]
        row["time_ns"], row["kind"], row["client_id"] = time, kind, number
        row["side"], row["price"], row["size"] = side, price, 1
    return commands


def waits(model: str, feed: list[tuple[Any, ...]], commands: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How long each probe waited for its trade; the horizon when it had none. No model is the default one."""
    venue = native.SimulatedVenue({"queue": model} if model else {}, [{"contract": "linear"}])
    told = np.frombuffer(venue.run(records(feed).tobytes(), commands.tobytes()), EVENT)
    places = commands[commands["kind"] == CommandKind.PLACE]
    given = dict(zip(places["client_id"].tolist(), places["time_ns"].tolist(), strict=True))
    wait = np.full(len(given), HORIZON_NS)
    for fill in told[told["kind"] == EventKind.FILL]:
        number = int(fill["aux"][0])
        wait[number - 1] = int(fill["time_exchange_ns"]) - given[number]
    return wait


def errors(seed: int, who: str, batch_ns: int, events: int) -> tuple[dict[str, float], float]:
    """Mean absolute error of each model's waits in seconds, and the share of probes that trade in truth."""
    market = L3Market(seed, who, batch_ns)
    commands = probes(market, events)
    truth = waits("fifo", market.l3, commands)
    found = {model: waits(model, market.l2, commands) for model in MODELS}
    error = {model: float(np.abs(wait - truth).mean()) / 1e9 for model, wait in found.items()}
    return error, float((truth < HORIZON_NS).mean())


def table(seeds: range = range(1, 6), events: int = 60_000) -> str:
    """The models' errors in each market, relative to the risk-averse one's."""
    lines = ["| who cancels | levels told | trade in truth | risk_averse | " + " | ".join(MODELS[1:]) + " |"]
    lines.append("|" + "---|" * (3 + len(MODELS)))
    for who in ("anyone", "mixed", "newest"):
        for batch_ns in (0, 100 * STEP_NS):
            runs = [errors(seed, who, batch_ns, events) for seed in seeds]
            mean = {model: sum(error[model] for error, _ in runs) / len(runs) for model in MODELS}
            traded = sum(share for _, share in runs) / len(runs)
            averse = mean["risk_averse"]
            cells = [f"{mean[model]:.3f} s ({mean[model] / averse - 1:+.0%})" for model in MODELS[1:]]
            told = f"every {batch_ns // STEP_NS} ms" if batch_ns else "at once"
            lines.append(f"| {who} | {told} | {traded:.0%} | {averse:.3f} s | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
