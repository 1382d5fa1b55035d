"""Keys that exist nowhere whole: t of n cosigner processes sign together, each behind its own guard and journal.

A party (`Cosigner`, served by `serve`, `capstan cosigner serve`) parses what it signs, judges it by its own policy,
keeps its own sign-once journal and believes neither its peers nor the coordinator. The coordinator (`MpcSigner`) holds
no share: it picks t live parties and carries envelopes it cannot read, write or reuse.
"""

from wallets.mpc.committee import Committee, PartyCard, PartyHome, init_committee, open_home, read_coordinator
from wallets.mpc.coordinator import generate_wallet, recover_party, refresh_wallet
from wallets.mpc.link import PartyLink
from wallets.mpc.party import Cosigner
from wallets.mpc.server import serve
from wallets.mpc.signer import MpcSigner, MpcStatementSigner
from wallets.mpc.store import PartyStore

__all__ = [
    "Committee",
    "Cosigner",
    "MpcSigner",
    "MpcStatementSigner",
    "PartyCard",
    "PartyHome",
    "PartyLink",
    "PartyStore",
    "generate_wallet",
    "init_committee",
    "open_home",
    "read_coordinator",
    "recover_party",
    "refresh_wallet",
    "serve",
]
