"""Chains as data: ids, coins, contracts, how blocks become final, what a layer 2 charges for layer 1.

One TOML file per network lies beside this module. Addresses are checked for their checksum when they are read.
"""

from chain.networks.reading import Coin, L1Fee, Network, NetworkToken, network, network_of, networks

__all__ = ["Coin", "L1Fee", "Network", "NetworkToken", "network", "network_of", "networks"]
