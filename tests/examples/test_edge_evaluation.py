"""The example of an edge evaluation, as its README says it, with fewer samples and ways."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from tests.agents import PROJECT

EXAMPLE = PROJECT / "examples" / "edge_evaluation"
COMMAND = Path(sysconfig.get_path("scripts")) / "edge-tester"


@pytest.mark.timeout(280)
def test_it_ends_in_a_decision(tmp_path):
    asked = yaml.safe_load((EXAMPLE / "pipeline.yml").read_text())
    assert {"onnx", "onnx-int8", "tvm"} <= set(asked["ways"])
    asked["dataset"]["limit"] = 60
    asked |= {"ways": ["onnx", "onnx-int8"], "requests": 60}
    asked["measurement"] = {"replicates": 2, "min_count": 60}
    # On a busy machine no latency is out; sizes are what they are.
    asked["thresholds"] = {"latency_p50_ms": 1000, "size_mib": asked["thresholds"]["size_mib"]}
    (tmp_path / "pipeline.yml").write_text(yaml.safe_dump(asked))
    shutil.copy(PROJECT / "edge_tester/resources/digits.onnx", tmp_path)
    done = subprocess.run(
        [COMMAND, "pipeline", "pipeline.yml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=270,
    )
    assert 0 == done.returncode, done.stderr
    assert "Deploy the conversion: onnx-int8." in done.stdout
    (directory,) = (tmp_path / "runs").iterdir()
    for name in asked["devices"]:
        assert "onnx-int8" in (directory / "runbooks" / f"{name}.md").read_text()
    assert (directory / "report.html").exists()
