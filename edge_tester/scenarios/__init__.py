"""Commands: each module parses, calls the core and exits."""
