"""`capstan dex`: quotes, routes, swaps, liquidity, arbitrage and perpetuals on chains."""
