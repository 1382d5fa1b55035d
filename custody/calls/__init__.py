"""Reading calldata: what a call would do, from its own bytes. Whatever is not understood completely is refused.

A call is decoded and encoded again; if the bytes differ, it is refused. `decode_call` gives the effects that policy
judges and the lines that `custody.clear_signing` shows to approvers, from one reading, so that the two cannot differ.
"""

from custody.calls.model import DecodedCall, Kind, Shown
from custody.calls.registry import decode_call, known_methods

__all__ = ["DecodedCall", "Kind", "Shown", "decode_call", "known_methods"]
