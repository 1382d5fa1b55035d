"""What a transaction would do, asked of a node before anything is signed.

`simulate` runs several blocks of calls one after another (`eth_simulateV1`), `StateOverrides` says what is pretended,
`trace_call` shows every call inside with its named revert reason, `state_changes` what would differ afterwards.
"""

from chain.simulation.blocks import BlockOverrides, SimulatedBlock, SimulatedCall, SimulatedCalls, simulate
from chain.simulation.overrides import StateOverrides, pretend_allowance, pretend_balance
from chain.simulation.traces import AccountChange, CallFrame, StateChanges, state_changes, trace_call, trace_transaction

__all__ = [
    "AccountChange",
    "BlockOverrides",
    "CallFrame",
    "SimulatedBlock",
    "SimulatedCall",
    "SimulatedCalls",
    "StateChanges",
    "StateOverrides",
    "pretend_allowance",
    "pretend_balance",
    "simulate",
    "state_changes",
    "trace_call",
    "trace_transaction",
]
