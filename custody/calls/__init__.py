"""Reading calldata: what a call would do, from its own bytes. Whatever is not understood completely is refused.

A call is decoded and encoded again; if the bytes differ, it is refused. `decode_call` gives the effects that policy
judges and the lines that `custody.clear_signing` shows to approvers, from one reading, so that the two cannot differ.
"""

from custody.calls.canonical import Descriptions
from custody.calls.descriptors import load_descriptors
from custody.calls.model import DecodedCall, Kind, Shown
from custody.calls.registry import decode_call, known_methods
from custody.calls.typed_data import DecodedDocument, decode_typed_data, known_documents

__all__ = [
    "DecodedCall",
    "DecodedDocument",
    "Descriptions",
    "Kind",
    "Shown",
    "decode_call",
    "decode_typed_data",
    "known_documents",
    "known_methods",
    "load_descriptors",
]
