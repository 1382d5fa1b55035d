"""Finds the pools of a set of tokens: asks factories and singletons, never guesses addresses, in few round trips.

What a factory does not know does not exist for us; what it names is still read and checked before it is quoted.
"""

from dex.discovery.book import Deployment, Discovery, Token, devnet_deployment, network_deployment
from dex.discovery.finding import discover

__all__ = ["Deployment", "Discovery", "Token", "devnet_deployment", "discover", "network_deployment"]
