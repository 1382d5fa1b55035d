"""`capstan dex lp`: liquidity positions on Uniswap V3 and V4."""
