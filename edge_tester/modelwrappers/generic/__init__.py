"""Wrappers for any model file of a user."""
