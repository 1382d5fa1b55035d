"""SoftHSM2 tokens for tests: real PKCS#11 in a folder of its own. The PINs are test data."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime import Secret

PIN = Secret("1234")
OFFICER_PIN = Secret("5678")
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", *map(str, Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")))


def softhsm_module() -> str:
    """Find the library, or skip the test."""
    found = next((module for module in MODULES if Path(module).is_file()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed: scripts/services start --install")
    return found


class SoftTokens:
    """A folder of tokens. Sets SOFTHSM2_CONF for this process and its children."""

    def __init__(self, folder: Path) -> None:
        self.module = softhsm_module()
        self.folder = folder / "tokens"
        self.folder.mkdir()
        self.config = folder / "softhsm2.conf"
        self.config.write_text(
            f"directories.tokendir = {self.folder}\nobjectstore.backend = file\nlog.level = ERROR\n", encoding="utf-8"
        )
        os.environ["SOFTHSM2_CONF"] = str(self.config)

    def create(self, label: str, *, pin: Secret = PIN) -> None:
        """Initialise a token."""
        arguments = [
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            pin.reveal(),
            "--so-pin",
            OFFICER_PIN.reveal(),
        ]
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)

    def remove(self) -> None:
        """Take the tokens away, as if pulled out of their slots."""
        self.folder.rename(self.folder.with_name("away"))
        self.folder.mkdir()

    def give_back(self) -> None:
        """Put them back."""
        self.folder.rmdir()
        self.folder.with_name("away").rename(self.folder)
