"""What tests of faults share with those of agents."""

from tests.core.agent.conftest import opened

__all__ = ["opened"]
