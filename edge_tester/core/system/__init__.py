"""The machine, its files and its terminal: what has nothing to do with models."""
