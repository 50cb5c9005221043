"""What tests of faults share with those of agents."""

from tests.core.agent.conftest import native_model, opened

__all__ = ["native_model", "opened"]
