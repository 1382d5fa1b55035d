"""`capstan demo`: the main job on this machine alone, with real parts.

    demo (this process: starts, watches, shows, reports)
      ├── world     anvil with the genuine Uniswap contracts, the sandbox exchange, other people's trades
      ├── signer    holds the key, checks every transaction itself
      └── engine    books, strategies, risk, custody, ledger

The world outlives a crash of the demo by a minute, so that a restart on the same data directory meets the same
exchange and chain. Everything else dies with the demo and recovers from the data directory.
"""
