"""Other people's engines, measured: each in a uv project and a process of its own, never imported by us, never shipped.

NautilusTrader is LGPL-3.0 and hftbacktest MIT: used as packages, nothing of theirs is copied. This folder's modules run
in the peers' environments and import nothing of ours but each other.
"""
