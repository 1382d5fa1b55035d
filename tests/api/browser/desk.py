"""A real server before a real browser: the application on a port of loopback, and the driver of one Chromium."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.auth.services import Auth
from api.auth.settings import ApiSettings
from api.auth.tables import MembershipRow, UserRow
from api.server.serving import Server
from api.services import Services
from runtime.processes import die_with_parent
from tests.api.lab import api_services, application

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "correct horse battery"


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Services]]:
    """The whole application on a free port, with a clock that is advanced by hand; gives its origin and services."""
    with socket.create_server(("127.0.0.1", 0)) as door, api_services(folder) as plain:
        # Passkeys want a site: localhost, which browsers trust without TLS.
        origin = f"http://localhost:{door.getsockname()[1]}"
        settings = ApiSettings(password_memory_kib=64, url=origin)
        auth = Auth.over(
            clock=plain.clock, database=plain.database, key=plain.key, batches=plain.batches, settings=settings
        )
        services = replace(plain, auth=auth)
        app = application(services)
        server = Server(app, "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, args=([door],), name="api")
        thread.start()
        try:
            yield origin, services
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
            app.state.is_draining = False


def add_member(services: Services, organisation: str, name: str) -> str:
    """Somebody with a password and no second factor; gives the e-mail address."""
    email = f"{name}@acme.example"
    with services.database.transaction() as session:
        hashed = services.auth.passwords.hash_now(PASSWORD)
        session.add(UserRow(id=f"usr_{name:a<16}", email=email, name=name, password=hashed, created_ns=1))
        session.flush()
        session.add(MembershipRow(organisation=organisation, user=f"usr_{name:a<16}", roles="trader", created_ns=1))
    return email


class Browser:
    """Speaks to tests/api/browser/driver.mjs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._read()["ready"]

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        assert "error" not in answer, answer["error"]
        return answer

    def press(self, *buttons: str, **fill: str) -> str:
        """Press one button after another, the first with fields filled in; give what the page said to the last."""
        steps: list[dict[str, Any]] = [{"press": button} for button in buttons]
        steps[0]["fill"] = fill
        said: list[str] = self.do("steps", steps=steps)["said"]
        return said[-1]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the browser's driver has ended; its words are above"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def browsing() -> Iterator[Browser]:
    """One Chromium with nothing in it."""
    chromium, node = shutil.which("chromium"), shutil.which("node")
    if chromium is None or node is None:
        pytest.skip("no chromium or node: scripts/services start --install")
    if not (ROOT / "node_modules/playwright-core").exists():
        assert not os.environ.get("CAPSTAN_TEST_ALL_CLIENTS"), "make install brings playwright-core"
        pytest.skip("no playwright-core: make install")
    driver = subprocess.Popen(
        [node, str(ROOT / "tests/api/browser/driver.mjs")],
        env=os.environ | {"CHROMIUM": chromium},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    )
    try:
        yield Browser(driver)
    finally:
        assert driver.stdin is not None
        driver.stdin.close()  # It closes the browser, and ends.
        try:
            driver.wait(60)
        finally:
            driver.kill()
