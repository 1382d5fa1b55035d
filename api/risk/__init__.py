"""Risk limits: what holds, how much of it is used, and who changed it."""
