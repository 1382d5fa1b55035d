"""The life of a transaction, from a plan to finality: the desk, its pipeline and its outbox.

`lifecycle` has the table of states, `desk` the loop that carries every intent through it, `outbox` what is recorded
on the way. `custody` hands the public names out.
"""
