"""From a baseline to candidates that are known to fit: their space, limits, fronts and search."""
