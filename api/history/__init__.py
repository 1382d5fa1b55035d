"""Orders and trades in tables, as long as the installation lives: written by the engine's process, read by the API."""
