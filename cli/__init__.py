"""The `capstan` command: the composition root where every package meets."""
