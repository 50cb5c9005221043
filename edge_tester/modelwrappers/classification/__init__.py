"""Classifiers of the project."""
