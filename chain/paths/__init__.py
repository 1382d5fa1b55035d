"""Ways onto a chain besides its public mempool.

- `PrivateRelay`: one transaction, shown to block builders only;
- `BundleClient`: several transactions for one block, in order, all or none (Flashbots' protocol);
- `safe`: transactions of a Safe, signed by its owners, carried by anybody;
- `erc4337`: user operations of an account that is a contract, carried through the EntryPoint.

Nothing here holds a key: whoever signs is passed in, and what is signed is shown as typed data.
"""

from chain.paths.bundle import BundleClient, BundleOutcome, BundleSimulation, SimulatedTransaction
from chain.paths.private import PrivateRelay
from chain.paths.relay_rpc import RelayRpc, SignText
from chain.paths.ways import Ways

__all__ = [
    "BundleClient",
    "BundleOutcome",
    "BundleSimulation",
    "PrivateRelay",
    "RelayRpc",
    "SignText",
    "SimulatedTransaction",
    "Ways",
]
