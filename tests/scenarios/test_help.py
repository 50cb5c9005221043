"""What a user is told who does not know the commands, or mistypes them."""

import json

import jsonschema
import pytest

from edge_tester.__main__ import COMMANDS
from edge_tester.core import registry


def test_the_overview_names_every_command(user):
    for words in ([], ["-h"], ["--help"]):
        output = user.does("python", "-m", "edge_tester", *words)
        for name in COMMANDS:
            assert f"\n  {name} " in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(user, name):
    output = user.does(name, "-h")
    assert "usage" in output.lower()
    assert f"edge-tester {name}" in output


def test_help_after_classes_shows_the_flags_of_those_classes(user):
    output = user.does("client", "m.tflite", "network", "digits", "-h")
    for flag in ("--model-path", "--num-threads", "--port", "--limit", "--conversation"):
        assert flag in output
    # The file was named already.
    assert "given: m.tflite" in output
    assert "--compiled-model-path" not in output
    output = user.does("client", "m.tflite", "compilers.tflite", "digits", "-h")
    assert "--compiled-model-path" in output


def test_list_shows_every_plugin(user):
    output = user.does("list")
    for role in registry.ROLES:
        for name in registry.names(role):
            assert f" + {name} " in output
    assert "runtimes" not in user.does("list", "datasets")


def test_the_version(user):
    assert user.does("--version").startswith("edge-tester 0.")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("clint", "no command 'clint'; did you mean 'client'?"),
        ("server network tflit", "'tflit'.*did you mean 'tflite'?"),
        ("measure-host tflite_fil digits r n", "'tflite_fil'.*did you mean 'tflite_file'?"),
        (
            "client m.tflite data.npz r n --start-agnt",
            "did you mean '--start-agent'?",
        ),
        ("client m.tflite data.npz r n --num-thread=2", "did you mean '--num-threads'?"),
        ("list dataset", "no role 'dataset'; did you mean 'datasets'?"),
        ("client m.tflite edge_tester.datasets.digits.DigitDataset r n", "'DigitsDataset'?"),
        ("client m.tflite edge_tester.dataset.digits.DigitsDataset r n", "no module"),
        ("client m.tflite no.such.Dataset r n", "no module no"),
        ("client m.tflite no_such.npz r n --start-agent", "no_such.npz does not exist"),
        ("client m.tflite tflite data.npz r n", "compilers.tflite or runtimes.tflite"),
        ("client m.tflite m.onnx data.npz r n", "'m.onnx' is one too many"),
        ("client", "needs one of the modelwrappers"),
        ("client m.tflite data.npz nowhere", "REPORT_NAME is missing behind it"),
        ("client m.tflite data.npz --target int8", "compilers.tflite.* have --target"),
        ("client m.tflite --datset data.npz r n", "did you mean '--dataset'?"),
        ("client m.tflite --dataset", "--dataset must be followed by the name"),
        ("client m.tflite data.npz --dataset digits r n", "names one of the datasets too"),
        ("client rr n", "is named 'rr', nor is it a file"),
        ("client m.tflit data.npz", "did you mean m.tflite?"),
        ("client m.tflit data.npz r n", "did you mean m.tflite?"),
        ("train digits", "needs one of the modelwrappers"),
        ("server network --port x", "--port: invalid int value: 'x'"),
        ("server network --port 70000", "port must be at most 65535, got 70000"),
        ("server network --port", "--port: expected one argument"),
        ("server network tflite --delegates-list /no/such.so", "'/no/such.so' cannot be loaded"),
        ("server network --host 0.0.0.0", "say --insecure on a network that you trust"),
        ("server network --host ::", "--insecure"),
        ("client m.tflite data.npz r n --conversation chat", "choice: 'chat'"),
        ("measure-host m.tflite digits r n --limit 0", "limit must be at least 1, got 0"),
        ("measure-host m.tflite digits r n --test-fraction nan", "test_fraction must be at least"),
        ("client m.tflite data.npz r n --start-agent --port 7", "do not apply: port"),
    ],
)
def test_mistakes_are_told_in_one_line(user, line, said):
    message = user.refused(*line.split())
    for text in said.split(".*"):
        assert text in message
    assert not (user.folder / "r" / "n.json").exists()


def test_a_user_s_own_class(user):
    (user.folder / "own.py").write_text(
        "from edge_tester.datasets.digits import DigitsDataset\n"
        "class Few(DigitsDataset):\n"
        "    '''Only a few digits.'''\n"
        "    def test_indices(self):\n"
        "        return super().test_indices()[:7]\n"
    )
    assert "7 samples" in user.does("measure-host", "m.tflite", "own.Few", "r", "few")


def test_a_user_s_own_broken_class_shows_its_error(user):
    (user.folder / "broken.py").write_text("import nothing_of_this_name\n")
    process = user.start("measure-host", "m.tflite", "broken.Data", "r", "n")
    _, errors = process.communicate()
    assert "No module named 'nothing_of_this_name'" in errors


def test_a_reader_that_has_enough_is_no_error(user):
    """As in ``edge-tester schema | head``."""
    process = user.start("schema")
    process.stdout.readline()
    process.stdout.close()
    assert "" == process.stderr.read()
    assert 0 == process.wait()


def test_the_schema_is_one_and_allows_what_runs(user):
    for words in (["schema"], ["schema", "record"]):
        jsonschema.Draft202012Validator.check_schema(json.loads(user.does(*words)))
