"""The pipeline as a user runs it: through, killed and gone on with, measured at an address."""

import json
import re
import shlex
import signal
import time

import jsonschema
import msgspec
import pytest
import yaml

from edge_tester.core.pipeline.runbook import Runbook, read_device
from edge_tester.core.record import read_record
from edge_tester.core.system.profilefiles import shipped_profiles
from edge_tester.scenarios import inference_client, inference_server

LIMIT_S = 280
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
_SCENARIOS = {"client": inference_client, "server": inference_server}
ASKED = {
    "modelwrapper": {"class": "tflite_file", "model_path": "m.tflite"},
    "dataset": {"class": "npz_file", "dataset_path": "data.npz", "limit": 60},
    "measurement": {"replicates": 2, "min_count": 60},
    "ways": ["tflite", "tflite-int8"],
    "requests": 60,
    "devices": sorted(shipped_profiles("devices")),
    "thresholds": {"latency_p50_ms": 50, "size_mib": 0.02, "power_w": 3},
    "report_directory": "runs",
}


def _write(user, name="p.yml", **changes):
    (user.folder / name).write_text(yaml.safe_dump({**ASKED, **changes}))
    return name


def _phases(user, folder="runs"):
    (directory,) = (user.folder / folder).iterdir()
    found = {path.stem: json.loads(path.read_text()) for path in directory.glob("[0-9]-*.json")}
    return directory, found


@pytest.fixture(scope="module")
def killed(user):
    """A pipeline that was killed while it converted: what it had done by then."""
    process = user.start("pipeline", _write(user))
    end_s = time.monotonic() + LIMIT_S
    while not list(user.folder.glob("runs/*/conversions/source.json")):
        assert process.poll() is None and time.monotonic() < end_s
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return _phases(user)[1]


@pytest.fixture(scope="module")
def ran(user, killed):
    """What the same command said that went on."""
    status, output, errors = user.run("pipeline", "p.yml")
    assert 0 == status, output + errors
    return output, errors


def test_it_goes_on_where_it_was_killed(user, killed, ran):
    assert {"1-environment", "3-local"} <= killed.keys() and "4-conversion" not in killed
    output, errors = ran
    assert "Examining this machine: done before" in errors
    assert "Proving it on this machine: done before" in errors
    directory, phases = _phases(user)
    assert {"done"} == {phase["status"] for phase in phases.values()}
    assert {"1-environment", "3-local", "4-conversion", "5-device", "6-decision"} <= phases.keys()


def test_the_schema_takes_what_the_command_takes(user):
    schema = json.loads(user.does("schema", "pipeline"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({**ASKED, "results": [{"file": "hand.csv"}]}, schema)
    for wrong in ({"threshold": {}}, {"thresholds": {"latency": 1}}, {"requests": "many"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**ASKED, **wrong}, schema)
        (key,) = wrong
        told = user.refused("pipeline", _write(user, "wrong.yml", **wrong))
        text = (user.folder / "wrong.yml").read_text().splitlines()
        line = int(re.search(r"wrong.yml, line (\d+)", told)[1])
        assert any(word in text[line - 1] for word in (key, "latency:"))


def test_the_decision_names_the_rule_and_what_is_not_known(user, ran):
    output, _ = ran
    said = " ".join(output.split())
    # The float32 model has 27 KiB, more than the threshold.
    assert "Deploy the conversion, provisionally: tflite-int8." in said
    assert "Not known of tflite-int8: power (W)." in said
    assert "not on the device" in said and "Confidence: low" in said
    directory, phases = _phases(user)
    judged = {one["name"]: one for one in phases["6-decision"]["content"]["decision"]["judged"]}
    assert "exceeded" == judged["tflite"]["states"]["size_mib"]
    page = (directory / "report.html").read_text()
    for title in ("Decision", "Candidates beside each other", "Proof on this machine", "Devices"):
        assert f">{title}</h2>" in page


def test_every_load_pattern_was_driven_and_a_second_client_told(user, ran):
    directory, phases = _phases(user)
    proof = phases["3-local"]["content"]
    patterns = {"single_stream", "multi_stream", "offline", "server", "sensor_rate"}
    assert patterns == proof["records"].keys() and {} == proof["failures"]
    for name in patterns:
        assert 60 <= len(read_record(directory / "local" / f"{name}.json").target_ns)
    assert "The target is in use" in proof["clients"]["told"]
    assert "The target is in use" in proof["clients"]["queued"]


def test_every_command_of_ours_in_a_runbook_is_one_that_this_version_has(user, ran, monkeypatch):
    monkeypatch.chdir(user.folder)
    _, phases = _phases(user)
    seen = set()
    for one in phases["5-device"]["content"]["runbooks"]:
        runbook = msgspec.convert(one, Runbook)
        assert runbook.steps or runbook.name == "iphone"
        for command in (command for step in runbook.steps for command in step.commands):
            assert "{{" not in command
            # What runs on the device is between quotes, or a line of a service.
            for found in re.findall(r"(?:^|edge/bin/)(edge-tester .*)", command):
                name, *words = shlex.split(found.partition("\\n")[0].rstrip("\"'"))[1:]
                seen.add(name)
                if name in ("client", "server"):
                    # Every class, file and flag is checked, as if it were typed.
                    _SCENARIOS[name].COMMAND.parse(words)
                    continue
                status, output, errors = user.run(name, "-h")
                assert 0 == status, errors
                assert [] == [word for word in words if word[:2] == "--" and word not in output]
    assert {"client", "server", "doctor", "energy", "report", "pipeline"} == seen


def test_it_measures_at_an_address_and_takes_results_by_hand(user, ran):
    form = "candidate,device,latency_p50_ms,power_w\ntflite,phone,70,2\nnobody,phone,1,1\n"
    (user.folder / "hand.csv").write_text(form)
    with user.agent() as (_, port):
        name = _write(user, address=f"127.0.0.1:{port}", results=[{"file": "hand.csv"}])
        status, output, errors = user.run("pipeline", name)
    assert 0 == status, output + errors
    directory, phases = _phases(user)
    assert {"tflite", "tflite-int8"} == phases["5-device"]["content"]["records"].keys()
    found = {one["name"]: one for one in phases["6-decision"]["content"]["candidates"]}
    assert found["tflite-int8"]["on_device"]
    # What was measured on the phone stands in the place of the record.
    assert ("phone", 70.0) == (
        found["tflite"]["measured_on"],
        found["tflite"]["figures"]["latency_p50_ms"]["number"],
    )
    assert "there is no candidate 'nobody'" in json.dumps(phases["6-decision"])
    assert "not on the device" not in output


def test_a_failed_phase_is_marked_and_the_rest_goes_on(user, ran):
    name = _write(user, address="127.0.0.1:1", results=[])
    status, output, _ = user.run("pipeline", name)
    assert 1 == status and "tflite-int8 failed: " in output
    _, phases = _phases(user)
    failures = phases["5-device"]["content"]["failures"]
    assert {"tflite", "tflite-int8"} == failures.keys()
    assert "done" == phases["6-decision"]["status"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": {}}, "unknown key 'threshold'; did you mean 'thresholds'"),
        ({"thresholds": {"latency_ms": 3}}, "latency_ms"),
        ({"devices": ["raspberry"]}, "no device profile 'raspberry'"),
        ({"address": "somewhere"}, "got 'somewhere'"),
        ({"ways": ["tflite-int4"]}, "There is no way 'tflite-int4'"),
        ({"requests": "many"}, "Expected `int`, got `str` - at `$.requests`"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_at_once(user, changes, said):
    name = _write(user, "wrong.yml", **changes, report_directory="wrong")
    assert said in user.refused("pipeline", name)


def test_profiles_are_files_that_users_add(user, ran, tmp_path):
    assert all(read_device(name).steps for name in shipped_profiles("devices"))
    own = {"title": "My board", "about": "Mine.", "formats": ["tflite"], "steps": []}
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(own))
    assert "My board" == read_device(str(path)).title
