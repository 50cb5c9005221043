"""One benchmark, from a plan to its record."""
