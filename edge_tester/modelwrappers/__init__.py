"""Model wrappers: one file each, what a framework shares in ``frameworks``."""
