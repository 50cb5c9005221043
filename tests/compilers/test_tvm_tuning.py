"""Tuning of TVM's schedules, measured on this machine."""

import json

import numpy as np
import pytest

from edge_tester.compilers._tvm import tuning
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.runtimes.tvm import TVMRuntime
from tests import small_models

TRIALS = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ONNXFile(model_path=small_models.write_onnx(tmp_path_factory.mktemp("m") / "small.onnx"))


def compiled(model, path, **options):
    compiler = TVMCompiler(compiled_model_path=path, **{"self_check": False, **options})
    return compiler.compile(model, None), compiler.facts()


@pytest.fixture(scope="module")
def tuned(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("tuned") / "model.tvm"
    return compiled(model, path, tuning_trials=TRIALS)


def database_of(artifact):
    return artifact.path.with_name(artifact.path.name + ".tuning")


def records(database):
    (file,) = database.glob("*/database_tuning_record.json")
    return [json.loads(line) for line in file.read_text().splitlines()]


def require_right(artifact):
    values = small_models.sample((64,))
    runtime = TVMRuntime()
    runtime.prepare()
    runtime.load(artifact.path, 1)
    runtime.set_inputs([values])
    runtime.run()
    assert np.allclose(small_models.answer(values), runtime.get_outputs()[0], atol=1e-5)


def test_trials_are_measured_and_kept(tuned):
    artifact, facts = tuned
    require_right(artifact)
    found = records(database_of(artifact))
    assert TRIALS == len(found) == facts["tuning_trials"]
    taken_s = [record[1][1][0] for record in found]
    assert all(0 < one < 1 for one in taken_s)


def test_what_the_database_has_is_not_measured_again(model, tuned, tmp_path):
    database = database_of(tuned[0])
    before = records(database)
    artifact, facts = compiled(
        model, tmp_path / "again.tvm", tuning_trials=TRIALS, tuning_database=database
    )
    assert before == records(database)
    assert tuned[1] == facts
    # Without a budget the database is only used.
    alone, facts = compiled(model, tmp_path / "alone.tvm", tuning_database=database)
    assert (before, tuned[1]) == (records(database), facts)
    for one in (artifact, alone):
        require_right(one)


def test_no_batch_begins_when_the_time_is_over(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_LARGEST_BATCH", 2)
    artifact, facts = compiled(model, tmp_path / "m.tvm", tuning_time_s=1)
    require_right(artifact)
    # The schedule of this package, and one batch.
    assert 3 == facts["tuning_trials"]


def test_other_models_share_a_database_and_no_trials(tuned, tmp_path):
    other = ONNXFile(model_path=small_models.write_onnx(tmp_path / "other.onnx", 4, 4))
    database = database_of(tuned[0])
    how = {"tuning_trials": 1, "tuning_database": database, "self_check": True}
    artifact, facts = compiled(other, tmp_path / "m.tvm", **how)
    assert artifact.facts["self_check"]["compared"]
    # The one trial is the schedule of this package.
    expected = {
        "schedules": "edge_tester",
        "tuning_trials": 1,
        "functions": 1,
        "functions_tuned": 0,
    }
    assert expected == facts


def test_other_machines_are_not_tuned_for(model, tmp_path):
    target = json.dumps({"kind": "llvm", "mtriple": "x86_64-linux-gnu"})
    with pytest.raises(CompilationError, match="target must be llvm, got"):
        compiled(model, tmp_path / "m.tvm", target=target, tuning_trials=1)


def test_a_broken_database_is_named(model, tuned, tmp_path):
    (folder,) = database_of(tuned[0]).iterdir()
    broken = tmp_path / "database" / folder.name
    broken.mkdir(parents=True)
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CompilationError, match=f"cannot read the tuning database .*{folder.name}"):
        compiled(model, tmp_path / "m.tvm", tuning_database=broken.parent)
