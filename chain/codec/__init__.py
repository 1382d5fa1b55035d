"""ABI codecs compiled from the text of a signature: a router call is packed in under a microsecond.

    SWAP = function("swap(address to, uint256 amount) returns (uint256)")
    data = SWAP.encode(recipient, 10**18)
    (amount_out,) = SWAP.decode(returned)
    TRANSFER = event("Transfer(address indexed from, address indexed to, uint256 value)")
    source, target, value = TRANSFER.decode(log.topics, log.data)

`function`, `event`, `error` and `parameters` make them; eth_abi and web3 are the oracles of the tests.
"""

from chain.codec.entries import ErrorType, Event, Function, Parameters, error, event, function, parameters

__all__ = ["ErrorType", "Event", "Function", "Parameters", "error", "event", "function", "parameters"]
