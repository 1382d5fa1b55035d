"""What a transaction costs beside its gas, and how it costs less.

A rollup charges for posting a transaction's bytes on layer 1: `read_l1_facts` reads by which terms, `L1Facts.fee_wei`
computes it as the chain does. `cheaper_access_list` finds the list of storage a transaction had better declare.
"""

from chain.fees.access_lists import AccessList, CheaperAccess, access_finder, cheaper_access_list
from chain.fees.envelope import unsigned_bytes
from chain.fees.flz import flz_length
from chain.fees.l1 import L1Facts, read_l1_facts

__all__ = [
    "AccessList",
    "CheaperAccess",
    "L1Facts",
    "access_finder",
    "cheaper_access_list",
    "flz_length",
    "read_l1_facts",
    "unsigned_bytes",
]
