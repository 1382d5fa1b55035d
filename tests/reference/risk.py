"""The risk gate, plainly: what `native/engine/src/risk` decides, written to be read.

Numbers are Python's, so nothing leaves its range; figures are not cut to 64 bits unless they are told.
"""

from __future__ import annotations

from typing import Any

RULES = {
    "blacklist": 1, "order_size": 2, "order_value": 3, "collar": 4, "stale_book": 5, "no_mark": 6, "open_orders": 7,
    "open_orders_total": 8, "self_trade": 9, "position": 10, "exposure": 11, "capital": 12, "throttle": 13,
    "reduce_only": 14, "stage": 15, "swap_value": 16, "unbounded": 18, "unknown": 19, "executions": 30,
    "drawdown": 31, "loss": 32, "daily_loss": 33, "loss_velocity": 34, "operator": 36,
}  # fmt: skip
RUNNING, REDUCE, CANCEL, FLATTEN, FREEZE = range(5)
BUY, SELL = 0, 1
SECOND = 10**9
DAY = 86_400 * SECOND


class No(Exception):
    """A rule's refusal."""

    def __init__(self, rule: str, figure: int, limit: int) -> None:
        super().__init__(rule)
        self.told = (RULES[rule], cut(figure), cut(limit))


def cut(figure: int) -> int:
    return max(-(2**63), min(2**63 - 1, figure))


def up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


class Bucket:
    """Tokens of one second, in nano-tokens."""

    def __init__(self, rate: int) -> None:
        self.rate, self.level, self.at = rate, rate * SECOND, None

    def fill(self, now: int) -> None:
        if self.at is None or now > self.at:
            gained = self.rate * SECOND if self.at is None else (now - self.at) * self.rate
            self.level, self.at = min(self.rate * SECOND, self.level + gained), now

    def wait(self, now: int) -> int:
        self.fill(now)
        return max(0, up(SECOND - self.level, self.rate))

    def take(self, now: int) -> int:
        wait = self.wait(now)
        self.level -= 0 if wait else SECOND
        return wait

    def charge(self, now: int) -> None:
        self.fill(now)
        self.level = max(self.level - SECOND, -self.rate * SECOND)


class Results:
    """One result over time: every value it ever had is kept, and looked at again."""

    def __init__(self) -> None:
        self.base = self.peak = self.day_base = self.last = 0
        self.day: int | None = None
        self.seen: list[tuple[int, int]] = []

    def take(self, now: int, result: int, limits: dict[str, Any]) -> tuple[str, int, int, int] | None:
        if self.day is None or now // DAY > self.day:
            self.day, self.day_base = now // DAY, self.last
        before, self.last = self.last, result
        self.peak = max(self.peak, result)
        found = [
            ("drawdown", self.peak, limits["drawdown"]),
            ("loss", self.base, limits["total"]),
            ("daily_loss", self.day_base, limits["daily"]),
        ]
        if limits["velocity"]:
            # The window moves in steps of a 32nd, and reaches back over 32 whole ones.
            step = now // (limits["velocity_window_ns"] // 32)
            newest = max([step, *(s for s, _ in self.seen)])
            self.seen.append((newest, max(before, result)))
            high = max(r for s, r in self.seen if s >= newest - 32)
            found.append(("loss_velocity", high, limits["velocity"]))
        gravest = None
        for rule, high, limit in found:
            if limit and high - result > limit[0] and (gravest is None or limit[1] > gravest[3]):
                gravest = (rule, high - result, limit[0], limit[1])
        return gravest

    def restart(self) -> None:
        self.base = self.peak = self.day_base = self.last
        self.seen = [(s, -(2**127)) for s, _ in self.seen]


class Gate:
    """See `RiskGate` in capstan_native; takes the same dictionaries."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.c, self.limits = config, config["limits"]
        self.strategies = len(config["shares"])
        self.buckets = [Bucket(self.limits["messages_per_second_max"]) for _ in range(config["venues"])]
        self.executed: list[list[int]] = [[] for _ in range(self.strategies)]
        self.results = [Results() for _ in range(self.strategies + 1)]
        # Stage and where it is going, by strategy; the last is the whole run's.
        self.stage = [(RUNNING, RUNNING)] * (self.strategies + 1)

    # --- before

    def check(self, ask: dict[str, Any], **order: Any) -> tuple[int, int, int] | None:
        try:
            self._check(ask, {"market": False, "reduce_only": False} | order)
        except No as no:
            return no.told
        return None

    def check_swap(self, ask: dict[str, Any], **swap: Any) -> tuple[int, int, int] | None:
        try:
            self._check_swap(ask, swap)
        except No as no:
            return no.told
        return None

    def _check(self, ask: dict[str, Any], order: dict[str, Any]) -> None:
        stage = self._open(ask["strategy"])
        if order["instrument"] >= len(self.c["instruments"]):
            raise No("unknown", order["instrument"], len(self.c["instruments"]))
        self._known(ask)
        terms = self.c["instruments"][order["instrument"]]
        price, size, sign = order["price"], order["size"], 1 if order["side"] == BUY else -1
        if terms["blacklisted"] or any(self.c["assets"][terms[leg]][2] for leg in ("base", "quote")):
            raise No("blacklist", order["instrument"], 0)
        if order["market"]:
            raise No("unbounded", 0, 0)
        if size <= 0 or price <= 0 or order["side"] not in (BUY, SELL) or ask["replaces"] < 0:
            raise No("order_size", min(size, price), 1)
        self._size_and_price(ask, terms, order, sign)
        if ask["replaces"] == 0:
            for count, limit in (("open_orders", "open_orders_max"), ("open_orders_total", "open_orders_total_max")):
                if ask[count] >= self.limits[limit]:
                    raise No(count, ask[count], self.limits[limit])
        own = ask["own_ask"] if order["side"] == BUY else ask["own_bid"]
        if own > 0 and sign * (price - own) >= 0:
            raise No("self_trade", price, own)
        added = max(0, size - ask["replaces"])
        if order["reduce_only"]:
            self._reduce_only(ask, terms, order, added)
        asset = terms["quote"] if terms["inverse"] else terms["base"]
        factor = terms["quote_per_lot"] if terms["inverse"] else terms["base_per_lot"]
        self._position(ask, self.c["assets"][terms["base"]][0], asset, sign * added * factor, sign > 0, stage)
        if wait := self.buckets[terms["venue"]].take(ask["now_ns"]):
            raise No("throttle", wait, self.limits["messages_per_second_max"])

    def _size_and_price(self, ask: dict[str, Any], terms: dict[str, Any], order: dict[str, Any], sign: int) -> None:
        price, size = order["price"], order["size"]
        bid, offer, changed, is_stale = ask["top"]
        if is_stale or bid <= 0 or offer <= bid or ask["now_ns"] - changed > self.limits["book_age_ns_max"]:
            raise No("stale_book", ask["now_ns"] - changed, self.limits["book_age_ns_max"])
        if 0 < terms["order_lots_max"] < size:
            raise No("order_size", size, terms["order_lots_max"])
        units = size * terms["quote_per_lot"] if terms["inverse"] else price * size * terms["quote_per_tick_lot"]
        if (value := self._value(ask, terms["quote"], units)) > self.limits["order_value_max"]:
            raise No("order_value", value, self.limits["order_value_max"])
        if units < terms["value_min"]:
            raise No("order_size", units, terms["value_min"])
        beyond = sign * (2 * price - bid - offer) * 10**6
        if beyond > (bid + offer) * self.limits["collar_ppm"]:
            raise No("collar", up(beyond, bid + offer), self.limits["collar_ppm"])

    def _reduce_only(self, ask: dict[str, Any], terms: dict[str, Any], order: dict[str, Any], added: int) -> None:
        row = ask["strategy"]
        held, buying, selling = ask["lots"][row][order["instrument"]]
        if not terms["contract"]:
            held = self._spot_lots(ask, row, terms)
        room, under_way = (-held, buying) if order["side"] == BUY else (held, selling)
        if under_way + added > room:
            raise No("reduce_only", under_way + added, max(room, 0))

    def _check_swap(self, ask: dict[str, Any], swap: dict[str, Any]) -> None:
        stage = self._open(ask["strategy"])
        self._known(ask)
        if swap["pool"] >= len(self.c["pools"]):
            raise No("unknown", swap["pool"], len(self.c["pools"]))
        if self.c["pools"][swap["pool"]]:
            raise No("blacklist", swap["pool"], 0)
        if min(swap["amount_in"], swap["amount_out"]) <= 0 or swap["asset_in"] == swap["asset_out"]:
            raise No("order_size", min(swap["amount_in"], swap["amount_out"]), 1)
        legs = [(swap["asset_in"], -swap["amount_in"]), (swap["asset_out"], swap["amount_out"])]
        for asset, amount in legs:
            if asset >= len(self.c["assets"]):
                raise No("unknown", asset, len(self.c["assets"]))
            economic, _, is_blacklisted = self.c["assets"][asset]
            if economic is None:
                raise No("no_mark", asset, 0)
            if is_blacklisted:
                raise No("blacklist", asset, 0)
            if (value := self._value(ask, asset, abs(amount))) > self.limits["swap_value_max"]:
                raise No("swap_value", value, self.limits["swap_value_max"])
        exposed = [leg for leg in legs if not self.c["economics"][self.c["assets"][leg[0]][0]]]
        if stage == REDUCE and not exposed:
            raise No("stage", stage, RUNNING)
        for asset, amount in exposed:
            self._position(ask, self.c["assets"][asset][0], asset, amount, amount > 0, stage)

    def _open(self, strategy: int) -> int:
        stage = self.stage_of(strategy)
        if stage >= CANCEL:
            raise No("stage", stage, REDUCE)
        return stage

    def _known(self, ask: dict[str, Any]) -> None:
        if ask["strategy"] >= self.strategies or len(ask["lots"]) < self.strategies:
            raise No("unknown", ask["strategy"], self.strategies)

    def _position(self, ask: dict[str, Any], economic: int, asset: int, change: int, rises: bool, stage: int) -> None:
        row, limits = ask["strategy"], self.limits
        added = (asset, change, rises)
        held, low, high = own = self._span(ask, [row], economic, added)
        after = high if rises else low
        if stage == REDUCE:
            reduces = held < 0 and after <= 0 if rises else held > 0 and after >= 0
            if not reduces:
                raise No("stage", stage, RUNNING)
        if abs(after) <= abs(held):
            return
        if abs(after) > limits["position_value_max"]:
            raise No("position", after, limits["position_value_max"])
        exposure = used = 0
        for other, is_account in enumerate(self.c["economics"]):
            if is_account:
                continue
            everyone = self._span(ask, range(len(ask["lots"])), other, added if other == economic else None)
            exposure += max(abs(everyone[1]), abs(everyone[2]))
            mine = own if other == economic else self._span(ask, [row], other, None)
            used += max(abs(mine[1]), abs(mine[2]))
        if exposure > limits["exposure_value_max"]:
            raise No("exposure", exposure, limits["exposure_value_max"])
        share = self.c["shares"][row] + min(0, self.results[row].last)
        if used > share:
            raise No("capital", used, share)

    def _span(self, ask: Any, rows: Any, economic: int, added: tuple[int, int, bool] | None) -> tuple[int, int, int]:
        """What is held of an economic asset, and the least and the most it can become."""
        amounts: list[tuple[int, int, int, int]] = []
        left = added
        for asset in (a for a, (e, _, _) in enumerate(self.c["assets"]) if e == economic):
            total = [0, 0, 0]
            for row in rows:
                total = [x + y for x, y in zip(total, ask["moved"][row][asset], strict=True)]
            for at, terms in enumerate(self.c["instruments"]):
                if terms["base"] != asset:
                    continue
                lots = [sum(ask["lots"][row][at][n] for row in rows) for n in range(3)]
                if terms["inverse"]:
                    amounts.append((terms["quote"], *(n * terms["quote_per_lot"] for n in lots)))  # type: ignore[arg-type]
                else:
                    lots[0] = lots[0] if terms["contract"] else 0
                    total = [x + y * terms["base_per_lot"] for x, y in zip(total, lots, strict=True)]
            if left is not None and left[0] == asset:
                total[1 if left[2] else 2] += abs(left[1])
                left = None
            amounts.append((asset, *total))  # type: ignore[arg-type]
        if left is not None:
            amounts.append((left[0], 0, abs(left[1]) if left[2] else 0, 0 if left[2] else abs(left[1])))
        held = low = high = 0
        for asset, now, coming, going in amounts:
            if (now, coming, going) == (0, 0, 0):
                continue
            held += self._value(ask, asset, now)
            low += self._value(ask, asset, now - going)
            high += self._value(ask, asset, now + coming)
        return held, low, high

    def _value(self, ask: dict[str, Any], asset: int, units: int) -> int:
        if units == 0:
            return 0
        price = ask["prices"][asset]
        if price is None:
            raise No("no_mark", asset, 0)
        return int(units * price[0] // price[1])

    def _spot_lots(self, ask: dict[str, Any], row: int, terms: dict[str, Any]) -> int:
        assets = self.c["assets"]
        held = sum(
            ask["moved"][row][a][0] * 10 ** (18 - decimals)
            for a, (economic, decimals, _) in enumerate(assets)
            if economic == assets[terms["base"]][0]
        )
        lot = terms["base_per_lot"] * 10 ** (18 - assets[terms["base"]][1])
        return held // lot if held >= 0 else -(-held // lot)

    # --- messages

    def count_message(self, venue: int, now: int) -> None:
        self.buckets[venue].charge(now)

    def wait_ns(self, venue: int, now: int) -> int:
        return self.buckets[venue].wait(now)

    # --- after

    def on_fill(self, now: int, strategy: int, first: bool) -> tuple[int, int | None, int, int, int] | None:
        if not first:
            return None
        times, limits = self.executed[strategy], self.limits
        if times and now - times[-1] >= limits["executions_pause_ns"]:
            times.clear()
        times[:] = [
            t for at, t in enumerate(times) if any(now - u < limits["executions_window_ns"] for u in times[: at + 1])
        ]
        times.append(now)
        count = len(times)
        if count <= limits["executions_max"]:
            return None
        del times[0]
        return self._raise("executions", strategy, count, limits["executions_max"], limits["executions_stage"])

    def on_mark(self, now: int, results: list[int]) -> list[tuple[int, int | None, int, int, int]]:
        told = []
        for at, result in enumerate([*results, sum(results)]):
            whole = at == self.strategies
            limits = self.limits["losses" if whole else "strategy_losses"]
            if found := self.results[at].take(now, result, limits):
                rule, fall, limit, stage = found
                if breach := self._raise(rule, None if whole else at, fall, limit, stage):
                    told.append(breach)
        return told

    def raise_stage(self, _now: int, strategy: int | None, to: int) -> tuple[int, int | None, int, int, int] | None:
        return self._raise("operator", strategy, 0, 0, to)

    def _raise(
        self, rule: str, strategy: int | None, figure: int, limit: int, to: int
    ) -> tuple[int, int | None, int, int, int] | None:
        if to == FREEZE:
            strategy = None
        at = self.strategies if strategy is None else strategy
        stage, target = self.stage[at]
        reached = (CANCEL if stage < CANCEL else stage) if to == FLATTEN else to
        self.stage[at] = (max(stage, reached), max(target, to))
        return (RULES[rule], strategy, cut(figure), cut(limit), reached) if reached > stage else None

    def lower_stage(self, _now: int, strategy: int | None, to: int) -> bool:
        scopes = [strategy] if strategy is not None else list(range(self.strategies + 1))
        lowered = False
        for at in scopes:
            stage, target = self.stage[at]
            lowered |= to < stage
            self.stage[at] = (to, to) if to < stage else (stage, min(target, to))
            self.results[at].restart()
            if at < self.strategies:
                self.executed[at].clear()
        return lowered

    def stage_of(self, strategy: int) -> int:
        own = self.stage[strategy][0] if strategy < self.strategies else RUNNING
        return max(own, self.stage[-1][0])

    def stages(self) -> tuple[int, list[int]]:
        return self.stage[-1][0], [self.stage_of(strategy) for strategy in range(self.strategies)]

    def restart(self) -> None:
        """A gate that is saved and loaded is the same gate."""
