"""Conformance suites: a plugin's test is a class that inherits one and gives its fixtures."""

import pytest

# Before the imports below, so that a failed check shows its values.
_NAMES = (
    "agent plugin compiler dataset graphs inspects model pattern profiles runtime runtimeprotocol",
    "selective compresses",
)
for _name in " ".join(_NAMES).split():
    pytest.register_assert_rewrite(f"edge_tester.testing.{_name}")

from edge_tester.testing.agent import AgentConformance as AgentConformance  # noqa: E402
from edge_tester.testing.compiler import CompilerConformance as CompilerConformance  # noqa: E402
from edge_tester.testing.compresses import (  # noqa: E402
    CompressesConformance as CompressesConformance,
)
from edge_tester.testing.dataset import DatasetConformance as DatasetConformance  # noqa: E402
from edge_tester.testing.graphs import GraphsConformance as GraphsConformance  # noqa: E402
from edge_tester.testing.inspects import CutsConformance as CutsConformance  # noqa: E402
from edge_tester.testing.inspects import InspectsConformance as InspectsConformance  # noqa: E402
from edge_tester.testing.model import (  # noqa: E402
    ModelWrapperConformance as ModelWrapperConformance,
)
from edge_tester.testing.pattern import PatternConformance as PatternConformance  # noqa: E402
from edge_tester.testing.profiles import ProfilesConformance as ProfilesConformance  # noqa: E402
from edge_tester.testing.runtime import RuntimeConformance as RuntimeConformance  # noqa: E402
from edge_tester.testing.runtimeprotocol import (  # noqa: E402
    RuntimeProtocolConformance as RuntimeProtocolConformance,
)
from edge_tester.testing.selective import (  # noqa: E402
    SelectiveConformance as SelectiveConformance,
)
