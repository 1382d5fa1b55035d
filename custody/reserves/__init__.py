"""Proof of reserves: what we owe, committed to in Merkle-sum trees, and that the addresses behind it are ours."""

from custody.reserves.liabilities import Liabilities, Liability, read_liabilities
from custody.reserves.ownership import check_ownership, ownership_message, prove_ownership
from custody.reserves.tree import check_liabilities, root_file, user_proof
from custody.reserves.verifier import ProofError, check_proof

__all__ = [
    "Liabilities",
    "Liability",
    "ProofError",
    "check_liabilities",
    "check_ownership",
    "check_proof",
    "ownership_message",
    "prove_ownership",
    "read_liabilities",
    "root_file",
    "user_proof",
]
