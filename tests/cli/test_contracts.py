"""An engine that would count contracts as coins does not start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cex.markets import Market
from cli.engine_process import refuse_contracts
from domain import InputError
from tests.engine.markets import ETHUSDC

SPOT = Market(ETHUSDC, "ETH/USDC", "ETHUSDC")


def test_a_contract_among_the_instruments_is_refused_by_name():
    refuse_contracts([SPOT])
    with pytest.raises(InputError, match="is a contract") as caught:
        refuse_contracts([SPOT, replace(SPOT, is_spot=False)])
    assert SPOT.id in str(caught.value)
