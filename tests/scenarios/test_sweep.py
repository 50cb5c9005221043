"""A sweep as a user runs it: killed, gone on with, looked at, and made again."""

import csv
import json
import re
import signal
import time

import jsonschema
import pytest
import yaml

from edge_tester.core.record import read_record

LIMIT_S = 300
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
ASKED = {
    "modelwrapper": {"class": "pytorch_digits", "model_path": "none.pth"},
    "dataset": "digits",
    "training": {"num_epochs": 4},
    "compression": {"finetune_epochs": 1},
    "space": {"pruning": [0, 0.5], "precision": ["fp32", "int8"]},
    "memory_budgets_mib": {"tiny": 0.001, "board": 0.02},
    "active_budget": "board",
    "measurement": {"replicates": 2, "min_count": 400, "nominal_power_w": 3},
    "most_replicates": 2,
    "report_directory": "swept",
}
# Weights and activations of the float32 network are 29 KiB.
REJECTED = "fp32_seed-0"
NAMES = [REJECTED, "int8_seed-0", "fp32_pruning-0.5_seed-0", "int8_pruning-0.5_seed-0"]


@pytest.fixture(scope="module")
def killed(user):
    """The records of a sweep that was killed after two candidates were ended."""
    pytest.importorskip("torch_pruning")
    (user.folder / "sweep.yml").write_text(yaml.safe_dump(ASKED, sort_keys=False))
    process = user.start("sweep", "sweep.yml")
    folder, end_s = user.folder / "swept", time.monotonic() + LIMIT_S
    while len(list(folder.glob("trials/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < end_s
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return {path.name: path.read_bytes() for path in folder.glob("measured/*_seed-0.json")}


@pytest.fixture(scope="module")
def swept(user, killed):
    """Its folder when it was gone on with, and what was said."""
    status, output, errors = user.run("sweep", "sweep.yml")
    assert 0 == status, output + errors
    return user.folder / "swept", output, errors


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_goes_on_with_the_candidate_that_was_in_progress(killed, swept):
    _, _, errors = swept
    assert ["int8_seed-0.json"] == sorted(killed)
    assert "int8_seed-0: done before" in errors
    assert "Training" not in errors


def test_what_is_over_the_active_budget_is_rejected_and_never_measured(swept):
    folder, output, _ = swept
    found = {one["name"]: one for one in rows(folder / "sweep_results.csv")}
    fp32 = found["fp32"]
    assert ("rejected", "infeasible") == (fp32["stage"], fp32["feasibility"])
    assert "budget board: model_memory_mib 0.0281" in fp32["violated"]
    assert fp32["latency_p50_ms"] == "" and fp32["accuracy"] == ""
    assert not (folder / "measured" / f"{REJECTED}.json").exists()
    # The other budget flags all of them, and excludes none.
    assert {"True"} == {one["over_budget_tiny"] for one in found.values()}
    assert ["fp32"] == [n for n, one in found.items() if one["feasibility"] == "infeasible"]
    fronts = {one["name"] for f in ("latency", "energy", "memory") for one in _front(folder, f)}
    assert fronts and "fp32" not in fronts
    assert "fp32_seed-0 rejected" in output


def _front(folder, name):
    return rows(folder / f"pareto_frontier_{name}.csv")


def test_fronts_are_those_of_the_table(swept):
    """Against brute force over what the table says."""
    folder, _, _ = swept
    found = [r for r in rows(folder / "sweep_results.csv") if r["stage"] == "measured"]
    for front, metric in (("latency", "latency_p50_ms"), ("memory", "model_memory_mib")):
        points = {r["name"]: (-float(r["accuracy"]), float(r[metric])) for r in found}
        expected = [
            name
            for name, (a, b) in points.items()
            if not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points.values())
        ]
        assert sorted(expected) == sorted(one["name"] for one in _front(folder, front))


def test_figures_are_those_of_the_records(swept):
    folder, _, _ = swept
    for row in rows(folder / "sweep_results.csv"):
        if row["stage"] != "measured":
            continue
        record = read_record(folder / "measured" / f"{row['name']}_seed-0.json")
        assert record.quality.accuracy == float(row["accuracy"])
        mean_ms = sum(record.target_ns) / len(record.target_ns) / 1e6
        assert pytest.approx(mean_ms) == float(row["latency_mean_ms"])
        # Milliseconds times watts are millijoules.
        assert pytest.approx(3 * mean_ms) == float(row["energy_mj"])
        assert "True" == row["energy_is_estimate"]


def test_pruned_candidates_are_smaller(swept):
    folder, _, _ = swept
    found = {one["name"]: one for one in rows(folder / "sweep_results.csv")}
    # conv 1 to 16 to 32 of 3 x 3, linear of 128 to 10; then 8 and 16 channels.
    counts = {"fp32": 160 + 4640 + 1290, "fp32_pruning-0.5": 80 + 1168 + 650}
    assert counts == {name: float(found[name]["parameters"]) for name in counts}
    macs = {"fp32": 64 * 144 + 16 * 4608 + 1280, "fp32_pruning-0.5": 64 * 72 + 16 * 1152 + 640}
    assert macs == {name: float(found[name]["macs"]) for name in macs}
    assert float(found["int8"]["size_mib"]) < float(found["fp32"]["size_mib"])


def test_all_files_are_there(swept):
    folder, output, _ = swept
    for name in ("layerwise_breakdown.csv", "hardware_summary.csv", "precision_tradeoffs.csv"):
        assert rows(folder / name)
    summary = json.loads((folder / "summary.json").read_text())
    assert ["fp32"] == list(summary["rejected"]) and {} == summary["failed"]
    page = (folder / "report.html").read_text()
    for title in ("What to deploy", "Accuracy against what it costs", "All candidates"):
        assert f">{title}</h2>" in page
    assert summary["recommended"]["memory"] in page
    assert "Report: swept/report.html" in output


def test_a_finished_sweep_measures_nothing_again(user, swept):
    folder, _, _ = swept
    before = {path: path.read_bytes() for path in folder.glob("measured/*_seed-0.json")}
    assert 3 == len(before)
    user.does("sweep", "sweep.yml")
    assert before == {path: path.read_bytes() for path in folder.glob("measured/*_seed-0.json")}


def test_a_candidate_is_made_again_bit_for_bit(user, swept):
    folder, _, _ = swept
    output = user.does("sweep", "verify", "swept", "int8_pruning-0.5")
    said = "int8_pruning-0.5_seed-0: the same (baseline, weights, compressed, artifact)"
    assert said == output.strip()
    manifest = folder / "manifest.json"
    kept = manifest.read_text()
    content = json.loads(kept)
    (entry,) = [one for one in content["entries"] if "int8_pruning" in one["trial"]]
    entry["files"]["weights"] = "0" * 64
    content["versions"]["torch"] = "1.0"
    manifest.write_text(json.dumps(content))
    try:
        status, output, errors = user.run("sweep", "verify", "swept", "int8_pruning-0.5")
    finally:
        manifest.write_text(kept)
    assert 1 == status
    assert "weights was 000000000000, is" in output
    assert "perhaps since version of torch was 1.0, is" in output


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"limit": {}}, "limit", "unknown key 'limit'; did you mean 'limits'"),
        ({"limits": {"latency": 1}}, "latency", "unknown field `latency`"),
        ({"space": {"prunning": [0.5]}}, "prunning", "no option 'prunning'"),
        ({"active_budget": "bord"}, "active_budget", "did you mean 'board'"),
        ({"seeds": []}, "seeds", "'seeds' must be different numbers"),
        ({"training": {"epochs": 3}}, "epochs", "epochs"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(user, changes, key, said):
    path = user.folder / "wrong.yml"
    path.write_text(yaml.safe_dump({**ASKED, **changes}))
    told = user.refused("sweep", "wrong.yml")
    assert said in told
    line = int(re.search(r"wrong.yml, line (\d+)", told)[1])
    assert key in path.read_text().splitlines()[line - 1]


def test_what_cannot_be_compressed_is_refused(user):
    model = {"class": "tflite_file", "model_path": "m.tflite"}
    (user.folder / "other.yml").write_text(yaml.safe_dump({**ASKED, "modelwrapper": model}))
    told = user.refused("sweep", "other.yml")
    assert "A sweep needs a model that can be compressed" in told


def test_the_schema_takes_what_the_command_takes(user):
    schema = json.loads(user.does("schema", "sweep"))
    jsonschema.Draft202012Validator.check_schema(schema)
    ranges = {"space": {"pruning": {"low": 0, "high": 0.5}}, "search": {"method": "tpe"}}
    for extra in ({}, ranges, {"targets": {"a": None}}):
        jsonschema.validate({**ASKED, **extra}, schema)
    for wrong in ({"limit": {}}, {"training": {"epochs": 3}}, {"search": {"method": "best"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**ASKED, **wrong}, schema)
