"""Samples in a folder of their own: chosen, written, read back, looked at."""
