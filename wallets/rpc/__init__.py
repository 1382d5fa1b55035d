"""The signer's JSON-RPC, as `cast`, web3.py and other tools that know remote signers speak it, unmodified.

`RpcMethods` answers requests: it signs through a `SignerService` (same guard, same journal as its socket) and hands
everything else to an upstream node. `RpcServer` listens: on a Unix socket, behind mutual TLS where each client's
certificate is allow-listed per key and purpose, or, for development, on plain HTTP bound to loopback.
"""

from wallets.rpc.access import EVERYTHING, Access, ClientGrant, ClientList, Purpose
from wallets.rpc.methods import RpcMethods
from wallets.rpc.server import MutualTls, RpcServer
from wallets.rpc.upstream import Upstream

__all__ = [
    "EVERYTHING",
    "Access",
    "ClientGrant",
    "ClientList",
    "MutualTls",
    "Purpose",
    "RpcMethods",
    "RpcServer",
    "Upstream",
]
