"""Core ML's programs in numpy."""
