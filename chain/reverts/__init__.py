"""Why a call failed, in words: revert data of the contracts we use, read by tables.

`errors.toml` holds what other people's contracts say and what it means; `ours.txt` the errors of our own contracts,
written by `scripts/contract-bytecode`.
"""

from chain.reverts.reading import Revert, explain

__all__ = ["Revert", "explain"]
