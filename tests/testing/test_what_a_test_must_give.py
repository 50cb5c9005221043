"""A test that forgets something is told what, by the suite that it inherits."""

import pytest

import edge_tester.testing
from edge_tester.testing import (
    AgentConformance,
    CompilerConformance,
    DatasetConformance,
    RuntimeConformance,
)
from edge_tester.testing.plugin import PluginConformance

SUITES = [
    suite
    for name, suite in vars(edge_tester.testing).items()
    if name.endswith("Conformance") and issubclass(suite, PluginConformance)
]


@pytest.mark.parametrize("suite", SUITES)
def test_a_missing_class_is_named(suite):
    forgetful = type("TestMine", (suite,), {})()
    message = "TestMine must set the class attribute 'cls': .*Conformance: A subclass must"
    with pytest.raises(AttributeError, match=message):
        forgetful.test_has_a_summary()


def test_missing_inputs_are_named():
    with pytest.raises(AttributeError, match="TestMine must set the class attribute 'inputs'"):
        type("TestMine", (DatasetConformance,), {})().inputs  # noqa: B018


def test_what_no_suite_knows_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="'TestMine' has no attribute 'wrong'"):
        type("TestMine", (RuntimeConformance,), {})().wrong  # noqa: B018


@pytest.mark.parametrize(
    ("suite", "fixture", "told"),
    [
        (RuntimeConformance, "model_file", "Return a model file of one of the input formats"),
        (RuntimeConformance, "example", "Return inputs of one sample and the outputs"),
        (AgentConformance, "protocol", "Return a link to the agent, not connected"),
        (CompilerConformance, "dataset", "Return a prepared data set with calibration samples"),
    ],
)
def test_a_missing_fixture_is_named_as_pytest_shows_it(pytester, suite, fixture, told):
    pytester.makepyfile(
        f"from edge_tester.testing import {suite.__name__}\n"
        f"class TestMine({suite.__name__}):\n"
        "    def test_it(self, request):\n"
        f"        request.getfixturevalue({fixture!r})\n"
    )
    result = pytester.runpytest_inprocess("-k", "test_it", "-p", "no:xdist")
    result.assert_outcomes(errors=0, failed=1)
    output = " ".join(result.stdout.str().split())
    assert f"TestMine must define the fixture {fixture!r} ({told}" in output
