"""Answers what uniswap-python thinks a swap gives: one JSON request a line in, one JSON answer a line out.

Runs in this folder's own project and imports nothing of the platform. It is given no key: the library takes a raw one,
and an address of zeros serves for quotes.
"""

import contextlib
import json
import logging
import os
import sys

import uniswap.uniswap
from uniswap import Uniswap

CHAINS = uniswap.uniswap._netid_to_name


def main(rpc_url: str, network_like: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What the library prints goes to standard error.
    logging.disable(logging.WARNING)
    clients: dict[int, Uniswap] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"amount": str(ask(clients, rpc_url, network_like, request))}
        except Exception as exc:  # The answer to a failed question is its reason, not silence.
            answer = {"error": f"{type(exc).__name__}: {exc}"[:500]}
        answers.write(json.dumps({"id": request["id"], **answer}) + "\n")
        answers.flush()


def ask(clients: dict[int, Uniswap], rpc_url: str, network_like: str, request: dict) -> int:
    version = request["version"]
    if version not in clients:
        clients[version] = connect(rpc_url, network_like, version)
    client = clients[version]
    tokens = (request["token_in"], request["token_out"])
    # Without a route of its own the library goes through WETH; this asks about one pool.
    one_pool = {"route": list(tokens)} if version == 2 else {}
    price = client.get_price_output if request["is_exact_out"] else client.get_price_input
    return int(price(*tokens, int(request["amount"]), request["fee_pips"], **one_pool))


def connect(rpc_url: str, network_like: str, version: int) -> Uniswap:
    if network_like:
        # A local chain with another's contracts at the same addresses. The library knows chains by a table of ids.
        from web3 import Web3

        net_id = int(Web3(Web3.HTTPProvider(rpc_url)).net.version)
        with contextlib.suppress(KeyError):
            CHAINS.setdefault(net_id, CHAINS[next(n for n, name in CHAINS.items() if name == network_like)])
    return Uniswap(address=None, private_key=None, provider=rpc_url, version=version)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
