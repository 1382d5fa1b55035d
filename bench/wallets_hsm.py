"""What our signing costs above a token's own: low s, and recovery to the key with the right parity.

The peer is python-pkcs11 asking the same token for bare signatures of the same digests, half of which have a high s.
Needs SoftHSM2 (`scripts/services start --install`); without it there is no row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.rows import Row, interleaved, ratio_row

_SIGNATURES = 300
_PIN = "1234"  # of a token that lives as long as the bench
_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", *map(str, Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")))


def run() -> list[Row]:
    """Measure; takes about five seconds."""
    module = next((module for module in _MODULES if Path(module).is_file()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        return []
    before = os.environ.get("SOFTHSM2_CONF")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokens").mkdir()
        config = Path(folder) / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(config)
        try:
            arguments = ["--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", "5678"]
            subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
            return _measure(module)
        finally:
            if before is None:
                del os.environ["SOFTHSM2_CONF"]
            else:
                os.environ["SOFTHSM2_CONF"] = before


def _measure(module: str) -> list[Row]:
    from pkcs11 import Mechanism, ObjectClass

    from runtime import Secret
    from wallets.hsm import HsmToken

    digests = [number.to_bytes(32, "big") for number in range(1, _SIGNATURES + 1)]
    with HsmToken(module, "bench", Secret(_PIN)) as token:
        token.create_key("key", is_test_key=True)
        private = token._session.get_key(label="key", object_class=ObjectClass.PRIVATE_KEY)

        def ours() -> None:
            for digest in digests:
                token.sign_digest_unchecked("key", digest)

        def raw() -> None:
            for digest in digests:
                private.sign(digest, mechanism=Mechanism.ECDSA)

        our_s, raw_s = interleaved(ours, raw)
    return [
        ratio_row(
            topic="wallets",
            name="HSM signing with low s, recovered",
            ours=_SIGNATURES / our_s,
            unit="1/s",
            peer_name=f"raw PKCS#11, {_SIGNATURES / raw_s:.0f}/s",
            ratio=raw_s / our_s,
            target=0.7,
        )
    ]
