"""edge_tester: measure deep-learning models on the device itself."""

__version__ = "0.1.0"
