"""Strategies as files and versions: who made them what they are."""
