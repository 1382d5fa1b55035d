"""Quotes and swaps on chains: what the API asks the installation's dex process for, and writes down for it.

Nothing is imported here: the settings of an installation are read by every command.
"""
