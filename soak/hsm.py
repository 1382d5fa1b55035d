"""`python -m soak.hsm [SIGNATURES]`: signatures over four HSM workers, the token pulled and returned under load.

Every signature is recovered to the key by the signer before it is counted; one that is wrong, or a worker that dies,
ends the run. 100,000 by default: some minutes of SoftHSM2.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from domain import InvariantError
from runtime import configure_logging
from tests.wallets.hsm.soft_token import PIN, SoftTokens
from wallets import MessageToSign, Network
from wallets.hsm import HsmPool, HsmToken

_WORKERS = 4
_AT_ONCE = 200
_AWAY_S = 0.5


async def run(signatures: int) -> dict[str, float]:
    """Sign, half-way without a token for half a second; gives the figures."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = SoftTokens(Path(folder))
        tokens.create("desk")
        with HsmToken(tokens.module, "desk", PIN) as token:
            token.create_key("hot", is_test_key=True)
        async with HsmPool(tokens.module, "desk", PIN, ["hot"], workers=_WORKERS) as pool:
            (signer,) = pool.signers
            processes, recovered_s, began = pool.process_ids, 0.0, time.monotonic()
            for start in range(0, signatures, _AT_ONCE):
                work = [
                    asyncio.create_task(signer.sign_message(MessageToSign(str(n).encode()), network=Network.DEVNET))
                    for n in range(start, min(start + _AT_ONCE, signatures))
                ]
                if start <= signatures // 2 < start + _AT_ONCE:
                    tokens.remove()
                    await asyncio.sleep(_AWAY_S)
                    if any(task.done() for task in work):
                        raise InvariantError("something was signed without the token")
                    tokens.give_back()
                    returned = time.monotonic()
                    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                    recovered_s = time.monotonic() - returned
                await asyncio.gather(*work)
            if pool.process_ids != processes:
                raise InvariantError("a worker died")
            seconds = time.monotonic() - began
    return {"signatures": signatures, "per_s": round(signatures / seconds), "recovered_s": round(recovered_s, 3)}


if __name__ == "__main__":
    configure_logging(level="WARNING")
    print(json.dumps(asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))))
