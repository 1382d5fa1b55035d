"""Long fault runs: the whole demo, hit again and again while it trades, must end with true books.

`make soak` runs `python -m soak`. Not shipped and never part of `make test`. A run that fails keeps its data directory.

    demo.py       one demo in processes of its own: start, look, kill, stop
    strikes.py    what hits it: SIGKILL, faults of the exchange, reorganisations of the chain
    truth.py      what must hold afterwards, asked of exchange, chain and files without the product's code
    scenarios.py  which strikes, when
    exchange/     a hundred thousand orders on an exchange with every fault armed: a run of its own
"""
