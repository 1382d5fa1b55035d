"""Deposits: addresses for every user, what arrives there, and sweeping it together.

`contracts` knows what stands on the chain.
"""
