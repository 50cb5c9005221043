"""Compare, gate and export, as a user types them."""

import csv
import json
import os
import shutil
import sysconfig
from pathlib import Path

import pytest
import yaml

from edge_tester.core.record import read_record

ROOT = Path(__file__).parents[2]
QUICK = ("--replicates", 3, "--min-count", 100)


@pytest.fixture(scope="module")
def compared(user):
    """What comparing two models printed; their records are in the folder ``both``."""
    words = ("compare", "m.tflite", "m.onnx", "data.npz", "--margin", "5%")
    return user.does(*words, "--report-directory", "both", *QUICK)


def test_two_models_run_by_turns(user, compared):
    first, second = (read_record(user.folder / f"both/m.{one}.json") for one in ("tflite", "onnx"))
    assert first.together == second.together is not None
    assert [3, 3] == [len(one.replicates) for one in (first, second)]
    assert 1797 == len(first.target_ns) == len(second.target_ns)
    # The same network in ONNX Runtime takes about three times as long.
    said = " ".join(compared.split())
    assert "m.onnx is slower than m.tflite: it takes" in said
    assert "No difference in accuracy is shown between m.tflite and m.onnx; a loss of" in said
    page = (user.folder / "both/report.html").read_text()
    assert "m.onnx is slower than m.tflite: it takes" in page
    assert "the margin of 5 %" in page


def test_records_are_compared_as_they_are(user, compared):
    said = " ".join(
        user.does("compare", "both", "--baseline", "m.onnx", "--report-directory", "again").split()
    )
    assert "m.tflite is faster than m.onnx" in said and "apart" not in said
    tools = [user.folder / "both/m.tflite.json", user.folder / "copy.json"]
    content = json.loads(tools[0].read_text())
    tools[1].write_text(json.dumps({**content, "together": None, "name": "copy"}))
    said = " ".join(user.does("compare", *tools, "--report-directory", "again").split())
    assert "copy was measured apart from m.tflite" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("m.tflite",), "two or more models or records, got 1"),
        (("both/m.tflite.json",), "two or more models or records, got 1"),
        (("both/m.tflite.json", "m.onnx"), "models or records, got both"),
        (("m.tflite", "m.onnx", "--margin", "much"), "a number such as 1% is expected, got 'much'"),
        (("m.tflite", "m.onnx", "--margin", "-1%"), "margin"),
        (("both", "--baseline", "m.onx"), "did you mean 'm.onnx'"),
    ],
)
def test_mistakes_are_named(user, compared, words, message):
    assert message in user.refused("compare", *words)


def test_a_gate_has_a_status_for_each_answer(user, compared):
    old, new = "both/m.tflite.json", "both/m.onnx.json"
    status, output, _ = user.run("gate", "--baseline", old, "--candidate", new)
    assert 1 == status and "**Regression**: `m.onnx` compared with `m.tflite`" in output
    faster = ("--baseline", new, "--candidate", old, "--max-accuracy-loss", "1")
    status, output, _ = user.run("gate", *faster)
    assert 0 == status and "| Accuracy | at most 1 points less |" in output
    status, output, _ = user.run("gate", *faster[:-1], "0.01%")
    assert 3 == status and "Not known" in output
    assert "cannot be read" in user.refused("gate", "--baseline", "no.json", "--candidate", new)


def test_records_become_tables(user, compared):
    lines = user.does("export", "both", "--rows", "replicate").splitlines()
    rows = list(csv.DictReader(lines))
    assert ["m.onnx"] * 3 + ["m.tflite"] * 3 == [row["record"] for row in rows]
    assert "Table: t.csv" in user.does("export", "both", "--output", "t.csv")
    table = list(csv.DictReader((user.folder / "t.csv").read_text().splitlines()))
    record = read_record(user.folder / "both/m.onnx.json")
    assert f"{record.quality.accuracy}" == table[0]["accuracy"]


def test_the_example_of_a_gate_works(user, compared, monkeypatch):
    """The new model is the old one."""
    example = ROOT / "examples/regression_gate"
    shutil.copy(example / "gate.sh", user.folder)
    monkeypatch.setenv("REPLICATES", "3")
    monkeypatch.setenv("MAX_SLOWDOWN", "50%")
    monkeypatch.setenv("MAX_ACCURACY_LOSS", "5")
    # The script that the installation made.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    program = "import subprocess, sys; sys.exit(subprocess.run(['bash', *sys.argv[1:]]).returncode)"
    words = ("gate.sh", "m.tflite", "m.tflite", "data.npz")
    status, output, errors = user.run("python", "-c", program, *words)
    # Which of the two depends on how busy the machine is.
    assert status in (0, 3), errors
    assert "`new` compared with `old`" in output
    workflow = yaml.safe_load((example / "workflow.yml").read_text())
    assert any("gate.sh" in str(step.get("run")) for step in workflow["jobs"]["gate"]["steps"])


def test_a_model_compared_with_itself(user):
    words = ("calibrate", "m.tflite", "--pairs", 6, "--min-duration-s", 1, "--replicates", 3)
    said = user.does(*words, "--report-directory", "same")
    assert "6 pairs of fresh processes of m.tflite" in said
    assert "comparisons of 3 of them" in said
    assert "called it faster or slower than itself" in said
    assert "Smallest change that is seen" in said
    first, second = (read_record(user.folder / f"same/{name}.json") for name in ("a", "a-again"))
    assert first.together == second.together is not None
    assert [6, 6] == [len(one.replicates) for one in (first, second)]
