"""Session keys: hot keys that sign orders at once, within small limits that custody sets and can end.

The private part lies beside the engine, in a signer of `capstan_native` that checks everything here again by itself.
Custody knows the public part. It signs two kinds of statements with the authority's key: a *certificate* (where the
key may trade, what, how much at once and within a window, until when) and *allotments* (so much right now, for this
signer's life and a short time; renewed while something of it is left). An allotment is recorded as spent before it is
signed. So the window holds across crashes of either side, and a key whose scope is frozen, that is revoked, or that
custody cannot be asked about falls silent when its last allotment is over: `SessionTerms.allotment_s` says how soon.
"""

from custody.session_keys.keeper import Allotment, SessionKey, SessionKeys
from custody.session_keys.opening import keep_allotted, open_warden
from custody.session_keys.statements import Certified, SessionAuthority
from custody.session_keys.terms import ListedCall, ListedInstrument, SessionTerms

__all__ = [
    "Allotment",
    "Certified",
    "ListedCall",
    "ListedInstrument",
    "SessionAuthority",
    "SessionKey",
    "SessionKeys",
    "SessionTerms",
    "keep_allotted",
    "open_warden",
]
