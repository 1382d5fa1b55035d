"""The whole of custody as a state machine: deposits, reorganisations, sweeps, withdrawals, cancels, holds, freezes,
replacements and restarts in any order. Books balance, nothing leaves twice.

`CAPSTAN_MONEY_EXAMPLES=200` runs more histories; a failing one is printed as steps.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chain.devnet import Devnet
from tests.custody.deposits.lab import PAYERS
from tests.custody.money.bank import USERS, Bank
from tests.world import roll_back

pytestmark = pytest.mark.anvil

EXAMPLES = int(os.environ.get("CAPSTAN_MONEY_EXAMPLES", "4"))
_users, _symbols = st.sampled_from(USERS), st.sampled_from(("USDC", "ETH"))
_any = st.integers(0, 10**6)
_people = st.one_of(
    st.tuples(st.just("pay"), _users, _symbols, st.integers(10**4, 10**9), st.sampled_from(PAYERS)),
    st.tuples(st.just("ask"), _users, _symbols, st.sampled_from((10, 30, 50, 100, 101))),
    st.tuples(st.just("ask"), _users, _symbols, st.sampled_from((5, 20))),
    st.tuples(st.just("ask-again"), _any, st.booleans()),
)
_chain = st.one_of(
    st.tuples(st.just("mine"), st.sampled_from((1, 2, 5, 20, 66))),
    st.tuples(st.just("mark")),
    st.tuples(st.just("fork"), _any, st.lists(st.integers(0, 5), min_size=4, max_size=4), st.integers(-3, 3)),
)
_house = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 25), st.booleans()),
    st.tuples(st.just("work"), st.integers(0, 25), st.booleans()),
    st.tuples(st.just("tell"), _any, st.sampled_from(("cancel", "hold", "release", "speed-up"))),
    st.tuples(st.just("freeze"), st.booleans()),
    st.tuples(st.just("scan")),
    st.tuples(st.just("sweep")),
)


class MoneyMachine(RuleBasedStateMachine):
    """One history. Every amount asked for is unique, so that a payment on the chain names its withdrawal."""

    devnet: Devnet

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clients = self.devnet.client()
        self.client = self.run(self.clients.__aenter__())
        self.clean = self.run(self.client.rpc.request("evm_snapshot"))
        self.bank = self.run(Bank.open(self.devnet, self.client, Path(self.folder.name)))
        self.asked: list[tuple[str, str, int, str]] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @rule(what=_people)
    def people(self, what: tuple[Any, ...]) -> None:
        word, *rest = what
        if word == "pay":
            user, symbol, raw, payer = rest
            self.run(self.bank.pay_in(user, symbol, raw * (10**9 if symbol == "ETH" else 1), payer))
        elif word == "ask":
            user, symbol, percent = rest
            raw = max(self.bank.lab.owed(user, "available", symbol) * percent // 100, 1000) // 1000 * 1000
            asked = (user, symbol, raw - len(self.asked), f"k-{len(self.asked)}")
            self.asked.append(asked)
            self.run(self.bank.ask(*asked))
        elif self.asked:
            self.ask_again(*rest)

    def ask_again(self, choice: int, is_other: bool) -> None:
        choice %= len(self.asked)
        user, symbol, raw, key = self.asked[choice]
        before = len(self.bank.wanted)
        found = self.run(self.bank.ask(user, symbol, raw + 500 if is_other else raw, key))
        if is_other and found is not None:
            # The first was refused for want of funds, so its key was free.
            assert len(self.bank.wanted) == before + 1
            self.asked[choice] = (user, symbol, raw + 500, key)

    @rule(what=_chain)
    def chain(self, what: tuple[Any, ...]) -> None:
        word, *rest = what
        if word == "mine":
            self.run(self.bank.lab.mine(*rest))
        elif word == "mark":
            self.run(self.bank.mark())
        else:
            choice, kept, longer = rest
            self.run(self.bank.fork(choice, dict(zip(PAYERS, kept, strict=True)), longer))

    @rule(what=_house)
    def house(self, what: tuple[Any, ...]) -> None:
        word, *rest = what
        if word == "work":
            turns, is_cut = rest
            self.run(self.bank.work(turns=turns, is_cut=is_cut))
        elif word == "tell":
            choice, order = rest
            if ids := sorted(self.bank.wanted):
                self.run(self.bank.tell(order, ids[choice % len(ids)]))
        elif word == "freeze":
            (self.bank.freeze if rest[0] else self.bank.unfreeze)()
        else:
            self.run(self.bank.scan() if word == "scan" else self.bank.sweep())

    @invariant()
    def books_are_sound(self) -> None:
        self.bank.check_books()

    def teardown(self) -> None:
        try:
            self.run(self.bank.finish())
            self.run(self.bank.check_end())
        finally:
            self.run(roll_back(self.client, self.clean))
            self.run(self.clients.__aexit__(None, None, None))
            self.runner.close()
            self.bank.lab.database.dispose()
            self.folder.cleanup()


@pytest.mark.timeout(150 * EXAMPLES)
def test_books_balance_and_nothing_leaves_twice_whatever_happens_in_whatever_order(devnet_for_session: Devnet) -> None:
    machine = type("MoneyMachine", (MoneyMachine,), {"devnet": devnet_for_session})
    # Shrinking replays whole histories on a real node: the steps as found say enough.
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=24,
            deadline=None,
            derandomize=EXAMPLES <= 4,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
