"""Meters on this machine, and on recorded trees of others."""
