"""Every ccxt venue against one server on this machine: what our adapter asks of it, and in which form.

The server answers next to nothing. For each venue the adapter's own parts (`cex.connection`, `cex.orders`) load the
markets, then, with markets given by hand, ask for a book and place and cancel an order whose symbol, side, size, price
and id can be told apart. What arrived is written down: method, path, and where each of those stands. Requests that
would leave the machine, speak for ccxt's broker, or carry the secret are faults.

    python -m tests.support.venue_harness     writes cex/venues/matrix.json and docs/venues/matrix.md
"""
