"""Compilers, one file each."""
