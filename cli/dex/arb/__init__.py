"""`capstan dex arb`: one module a verb."""
