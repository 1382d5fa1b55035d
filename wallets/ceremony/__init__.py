"""The making of a root key before witnesses: entropy of several sources, shares for custodians, a signed transcript.

`run_ceremony` makes a phrase nobody sees, splits it (SLIP-39) into one share for each custodian, sealed to the
custodian's key, and writes down every step. The transcript is a hash chain of canonical JSON lines without any secret.
Every custodian signs it after having opened the share, and so does the witness (`sign_transcript`);
`verify_transcript` checks all of it.
"""

from wallets.ceremony.people import Card, Person, create_person, open_person
from wallets.ceremony.plan import CeremonyPlan, DiceSource, HsmSource, OsSource
from wallets.ceremony.run import Ceremony, open_share, run_ceremony, sign_transcript
from wallets.ceremony.transcript import Transcript, Verified, verify_transcript

__all__ = [
    "Card",
    "Ceremony",
    "CeremonyPlan",
    "DiceSource",
    "HsmSource",
    "OsSource",
    "Person",
    "Transcript",
    "Verified",
    "create_person",
    "open_person",
    "open_share",
    "run_ceremony",
    "sign_transcript",
    "verify_transcript",
]
