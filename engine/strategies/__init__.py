"""The strategies that ship; `catalog` names them, each has its page under `docs/strategies/`."""
