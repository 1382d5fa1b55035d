"""Keys that others hold: a remote signer (JSON-RPC), or a person's own wallet.

`ExternalSigner` asks through a `Channel` and believes nothing of what comes back: it is parsed, compared field by field
with what was asked for, and recovered to the address that the operator configured. `HttpChannel` reaches a signer of
Web3Signer's kind; `PendingRequests` holds requests until a person has signed them elsewhere.
"""

from wallets.external.http import HttpChannel, RemoteTls
from wallets.external.pending import PendingRequests
from wallets.external.signer import Channel, Dialect, ExternalSigner, SigningRequest

__all__ = ["Channel", "Dialect", "ExternalSigner", "HttpChannel", "PendingRequests", "RemoteTls", "SigningRequest"]
