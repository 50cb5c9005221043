"""No two classes that come together in a command have a flag of one name."""

import argparse
import importlib
import itertools

import pytest

from edge_tester.core import registry
from edge_tester.scenarios._flags import combine
from edge_tester.scenarios.inference_client import COMMAND

COMMANDS = {
    name: importlib.import_module(f"edge_tester.scenarios.{name}").COMMAND
    for name in (
        *("calibrate", "compare", "inference_client", "inference_performance", "inference_server"),
        *("analyze", "fit", "instructions", "model_training", "samples", "throughput"),
    )
}


def classes_of(role):
    return [cls for name in registry.names(role) if (cls := registry.loadable(role, name))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_class_goes_with_its_command_and_with_every_other_one(name):
    """Their flags are taken one pair at a time, as it is pairs that clash."""
    command = COMMANDS[name]
    for first, second in itertools.combinations(command._roles, 2):
        for pair in itertools.product(classes_of(first), classes_of(second)):
            combine(argparse.ArgumentParser(), [*pair, *command._extras])


def test_a_flag_of_two_classes_is_the_plugin_s_and_named_after_the_other_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"")
    line = "m.onnx compilers.coreml --precision float32 --measurement-precision 2%"
    parsed = COMMAND.parse(line.split())
    (compiler,) = [part for role, part in parsed.parts if role == "compilers"]
    assert "float32" == compiler.precision
    assert 2.0 == parsed.extra(COMMAND._extras[0]).precision
    alone = COMMAND.parse(["m.onnx", "--precision", "3%"])
    assert 3.0 == alone.extra(COMMAND._extras[0]).precision
