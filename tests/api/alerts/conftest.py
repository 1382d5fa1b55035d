"""Fixtures of the tests of alerts."""

from __future__ import annotations

import pytest

from tests.api.alerts.lab import ROUTING_KEY, Desk, serve
from tests.api.alerts.pagerduty import PagerDuty
from tests.api.lab import api_services


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A machine that is slow is no receiver that hangs."""
    monkeypatch.setattr("api.webhooks.delivery.TRY_S", 60.0)
    monkeypatch.setattr("api.alerts.mail.STEP_S", 30.0)
    monkeypatch.setattr("api.alerts.watch.ENGINE_S", 60.0)


@pytest.fixture
async def desk(tmp_path):
    pagerduty = PagerDuty(ROUTING_KEY)
    runner = await serve(pagerduty)
    try:
        with api_services(tmp_path) as services:
            yield Desk(services, tmp_path, pagerduty)
    finally:
        await runner.cleanup()
