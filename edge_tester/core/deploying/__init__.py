"""Bring the package to another machine: what is there, what it needs, and how it gets there."""
