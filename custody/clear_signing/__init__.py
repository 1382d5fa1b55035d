"""Clear signing: what a transaction does, in lines that a person reads before approving it.

`render_call` writes them from the transaction's own bytes and the `Names` of the signed policy bundle, and refuses
(`unreadable`) what has no exact words. Every signer writes the text again for itself and compares.
"""

from custody.clear_signing.names import ChainName, Names, TokenName
from custody.clear_signing.render import render_call, render_document
from custody.clear_signing.text import date_text, decimal_text, escape

__all__ = ["ChainName", "Names", "TokenName", "date_text", "decimal_text", "escape", "render_call", "render_document"]
