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
    # With fewer, one replicate that was disturbed hides even a large difference.
    several = ("--replicates", 5, "--min-count", 100)
    return user.does(*words, "--report-directory", "both", *several)


def test_two_models_run_by_turns(user, compared):
    first, second = (read_record(user.folder / f"both/m.{one}.json") for one in ("tflite", "onnx"))
    assert first.together == second.together is not None
    assert [5, 5] == [len(one.replicates) for one in (first, second)]
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


def test_a_comparison_is_run_again_into_the_folder_of_its_records(user, compared):
    """What is there is the value of a flag, and not what is to be compared."""
    shutil.copytree(user.folder / "both", user.folder / "again and again")
    words = ("m.tflite", "m.onnx", "data.npz", "--report-directory", "again and again")
    assert "Report: again and again/report.html" in user.does("compare", *words, *QUICK)
    said = user.does("compare", "--report-directory", "again and again", "both")
    assert "Report: again and again/report.html" in said


@pytest.fixture(scope="module")
def described(user):
    """Write scenario files of one model with one thread and with two."""
    content = {
        "scenario": "client",
        "modelwrapper": {"class": "tflite_file", "model_path": "m.tflite"},
        "dataset": {"class": "npz_file", "dataset_path": "data.npz"},
        "runtime": {"class": "tflite", "num_threads": 1},
    }
    runtime = {"class": "tflite", "num_threads": 2}
    files = {
        "one": content,
        "two": {**content, "runtime": runtime},
        "other": {"scenario": "server"},
    }
    for name, said in files.items():
        (user.folder / f"{name}.yml").write_text(yaml.safe_dump(said))
    wrong = "scenario: client\nruntime: {class: tflite, threads: 2}\nmodelwrapper: m.tflite\n"
    (user.folder / "wrong.yml").write_text(wrong)


def test_settings_are_compared_by_scenario_files(user, described):
    words = ("compare", "one.yml", "two.yml", "--report-directory", "settings", *QUICK)
    said = " ".join(user.does(*words).split())
    records = [read_record(user.folder / f"settings/{name}.json") for name in ("one", "two")]
    assert records[0].together == records[1].together is not None
    runtimes = [p.options for one in records for p in one.components if p.role == "runtime"]
    assert [1, 2] == [one["num_threads"] for one in runtimes]
    assert [3, 3] == [len(one.replicates) for one in records]
    assert "No difference in accuracy is shown between one and two" in said


def test_a_scenario_file_says_what_to_compare(user):
    models = [
        {"class": "tflite_file", "model_path": "m.tflite"},
        {"class": "onnx_file", "model_path": "m.onnx"},
    ]
    content = {
        "scenario": "compare",
        "modelwrapper": models,
        "dataset": {"class": "npz_file", "dataset_path": "data.npz", "limit": 100},
        "report_directory": "by-file",
        "replicates": 2,
        "min_count": 20,
    }
    (user.folder / "compare.yml").write_text(yaml.safe_dump(content))
    assert "No difference in accuracy" in " ".join(user.does("run", "compare.yml").split())
    assert {"m.onnx.json", "m.tflite.json", "report.html"} == {
        one.name for one in (user.folder / "by-file").iterdir()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("m.tflite",), "two or more models, scenario files or records, got 1"),
        (("both/m.tflite.json",), "two or more models, scenario files or records, got 1"),
        (("both/m.tflite.json", "m.onnx"), "got a record and a model"),
        (("one.yml",), "two or more models, scenario files or records, got 1"),
        (("one.yml", "m.onnx"), "got a scenario file and a model"),
        (("one.yml", "other.yml"), "other.yml, line 1 must have the scenario 'client', got"),
        (("one.yml", "wrong.yml"), "wrong.yml, line 2: TFLiteRuntime has no option 'threads'"),
        (("m.tflite", "m.onnx", "--margin", "much"), "a number such as 1% is expected, got 'much'"),
        (("m.tflite", "m.onnx", "--margin", "-1%"), "margin"),
        (("both", "--baseline", "m.onx"), "did you mean 'm.onnx'"),
    ],
)
def test_mistakes_are_named(user, compared, described, words, message):
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
    assert ["m.onnx"] * 5 + ["m.tflite"] * 5 == [row["record"] for row in rows]
    assert "Table: t.csv" in user.does("export", "both", "--output", "t.csv")
    table = list(csv.DictReader((user.folder / "t.csv").read_text().splitlines()))
    record = read_record(user.folder / "both/m.onnx.json")
    assert f"{record.quality.accuracy}" == table[0]["accuracy"]


def test_the_example_of_a_gate_works(user, compared, monkeypatch):
    """The new model is the old one."""
    example = ROOT / "examples/regression_gate"
    shutil.copy(example / "gate.sh", user.folder)
    monkeypatch.setenv("REPLICATES", "3")
    monkeypatch.setenv("MIN_DURATION_S", "1")
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
