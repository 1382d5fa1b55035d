"""PKCS#11 HSMs: keys that never leave the token, signing through a pool of single-threaded processes.

`HsmToken` administers (makes keys, backs them up into a second token) and `Envelopes` seals other secrets under a key
of the token; both belong to one thread. `HsmPool` serves signatures: its `signers` satisfy `wallets.LocalSigner`.
"""

from wallets.hsm.envelope import Envelopes
from wallets.hsm.pool import HsmPool, HsmSigner
from wallets.hsm.token import HsmKey, HsmToken, WrongPin, create_backup_key

__all__ = ["Envelopes", "HsmKey", "HsmPool", "HsmSigner", "HsmToken", "WrongPin", "create_backup_key"]
