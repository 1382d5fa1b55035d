"""What may be asked again, and where, by kind of failure and kind of question.

A question that changes nothing may be asked twice. A node's no to such a question is final when it is about the
question (a revert, a wrong parameter), and worth a second opinion when it is about the node: a method it does not
serve, a block it has not seen or keeps no state of, its own trouble.
"""

from __future__ import annotations

from typing import Final

from chain.errors import CallReverted, NodeRefused

_READ_PREFIXES: Final = ("eth_get", "eth_fee", "net_", "web3_", "debug_trace", "trace_", "txpool_")
_READS: Final = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_simulateV1",
        "eth_syncing",
    }
)
_STATEFUL: Final = frozenset({"eth_getFilterChanges", "eth_getFilterLogs", "eth_getWork"})

_ELSEWHERE_CODES: Final = frozenset({-32601, -32603, -32002, -32004})
"""Method not found, internal error, resource unavailable, method not supported."""
_ELSEWHERE_WORDS: Final = (
    "header not found",
    "block not found",
    "unknown block",
    "missing trie node",
    "state is not available",
    "state not available",
    "historical state",
    "not synced",
    "still syncing",
    "pruned",
)


def changes_nothing(method: str) -> bool:
    """Tell whether a method may be asked twice, at two nodes, without doing anything twice."""
    return method in _READS or (method.startswith(_READ_PREFIXES) and method not in _STATEFUL)


def is_about_the_node(refusal: NodeRefused) -> bool:
    """Tell whether another node may well answer what this one refused."""
    if isinstance(refusal, CallReverted):
        return False
    text = str(refusal).lower()
    return refusal.code in _ELSEWHERE_CODES or any(words in text for words in _ELSEWHERE_WORDS)
