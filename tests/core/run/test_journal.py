"""What a run has measured survives whatever ends it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.record import read_record, write_record
from edge_tester.core.run.journal import journal_of, open_journal, read_journal, recover
from edge_tester.core.run.observer import Observer
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.scenarios.recover import main as recover_command
from tests.agents import echo_model
from tests.runs import EchoModel, assert_consistent, npz, plan_of, run

WAIT_LIMIT_S = 60
KILLS = 12
# Runs for long: 30,000 samples of 4 bytes, two in a block, so that there are many lines.
ENDLESS = """
import sys
from pathlib import Path
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.pattern import LoadPattern, Schedule
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.runtimes.echo import EchoRuntime
from tests.runs import EchoModel, plan_of

class Twos(LoadPattern):
    "Blocks of two."
    def block(self, situation):
        return Schedule(min(2, situation.left), situation.untimed)

folder = Path(sys.argv[1])
dataset = NpzDataset(dataset_path=folder / "data.npz", test_fraction=1.0,
                     validation_fraction=0.0, calibration_fraction=0.0)
model = EchoModel(model_path=folder / "4-0.echo")
outputs = folder / "outputs"
run_plan(plan_of(model, dataset, EchoRuntime(), pattern=Twos(), outputs_directory=outputs),
         folder / "r.json")
"""


class Told(Observer):
    """Keeps what it hears."""

    def __init__(self):
        self.texts = []

    def tell(self, text):
        self.texts.append(text)


def plan(folder, runtime=None, count=10, **measurement):
    """Two classes, so that there are scores."""
    model = EchoModel(model_path=echo_model(folder, 2, dtype="float32").path)
    values = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    dataset = npz(folder, x=values, y=np.arange(count) % 2)
    return plan_of(model, dataset, runtime or EchoRuntime(), **measurement)


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A journal of a whole run, as if the process had been killed right before its end."""
    path = tmp_path / "r.json"
    with monkeypatch.context() as patch:
        patch.setattr("edge_tester.core.run.running.Run._write", lambda run, record: None)
        made = run(plan(tmp_path, conversation="classical"), path=path)
    assert not path.exists()
    return path, made


def assert_recovered(path, made):
    """All that was measured is there, but for what only a run that ended well can say."""
    record = read_record(path)
    assert not record.complete
    assert "ended without a word" in record.incomplete_reason
    assert path.stem == record.name
    assert made.predictions == record.predictions
    assert len(record.predictions.scores) == record.quality.samples
    assert made.quality == record.quality
    assert made.blocks == record.blocks
    assert made.cold_start == record.cold_start
    assert made.memory == record.memory
    for field in ("components", "model", "target", "host", "created", "class_names", "batch_size"):
        assert getattr(made, field) == getattr(record, field)
    assert_consistent(record)


def test_a_journal_becomes_the_record_that_is_missing(killed, capsys):
    path, made = killed
    recover_command([str(journal_of(path))])
    assert f"Recovered: {path} (10 inferences, 10 samples)\n" == capsys.readouterr().out
    assert_recovered(path, made)
    assert not journal_of(path).exists()
    with pytest.raises(RecordError, match="There is no journal .*r.json.journal"):
        recover(path)


@pytest.mark.parametrize("named", ["r.json", "r.json.journal", "."])
def test_a_journal_is_named_by_itself_its_record_or_its_folder(killed, named):
    path, made = killed
    recover_command([str(path.parent / named)])
    assert_recovered(path, made)


def test_no_record_is_overwritten(killed, tmp_path):
    path, made = killed
    journal = journal_of(path).read_bytes()
    assert_recovered(recover(path), made)
    other = run(plan(tmp_path), path=path)
    for name in ("r-recovered", "r-recovered-2"):
        journal_of(path).write_bytes(journal)
        found = recover(path)
        assert f"{name}.json" == found.name
        assert_recovered(found, made)
    assert other == read_record(path)


def test_a_run_that_was_killed_after_its_record_was_written_is_not_recovered_twice(killed):
    path, made = killed
    journal = journal_of(path).read_bytes()
    write_record(made, path)
    assert path == recover(path)
    assert made == read_record(path)
    assert [path] == sorted(path.parent.glob("r*"))
    told = Told()
    journal_of(path).write_bytes(journal)
    run(plan(path.parent), told, path)
    assert (
        f"An earlier run of {path} did not end by itself: its record holds all of it"
        == told.texts[0]
    )
    assert [path] == sorted(path.parent.glob("r*"))


def test_what_is_no_record_is_no_reason_to_remove_a_journal(killed):
    path, made = killed
    path.write_bytes(b"{}")
    assert_recovered(recover(path), made)
    assert b"{}" == path.read_bytes()


def test_the_next_run_recovers_first_and_says_so(killed, tmp_path):
    path, made = killed
    write_record(msgspec.structs.replace(made, replicates=[]), path)
    told = Told()
    again = run(plan(tmp_path), told, path)
    recovered = path.with_name("r-recovered.json")
    said = f"An earlier run of {path} did not end by itself: recovered into {recovered}"
    assert said == told.texts[0]
    assert_recovered(recovered, made)
    assert again == read_record(path)
    assert not journal_of(path).exists()


@pytest.mark.parametrize("lost", [1, 2, 50])
def test_a_torn_last_line_costs_its_block_alone(killed, lost):
    path, made = killed
    content = journal_of(path).read_bytes()
    journal_of(path).write_bytes(content[:-lost])
    record = read_record(recover(path))
    assert made.blocks[:-1] == record.blocks
    assert made.predictions.predicted[:-1] == record.predictions.predicted
    assert 9 == record.quality.samples


def test_what_a_broken_disk_left_does_not_hide_what_is_before(killed):
    path, made = killed
    lines = journal_of(path).read_bytes().splitlines(keepends=True)
    lines[5] = b"\0" * 4096 + b"\n"
    journal_of(path).write_bytes(b"".join(lines))
    assert made.blocks[:4] == read_record(recover(path)).blocks


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no measured block"),
        (b'{"type": "op', "no measured block"),
        (b"a letter to a friend\n", "no journal of a run"),
        (b'{"type": "opened", "version": 9}\n', "no journal of a run"),
    ],
)
def test_what_holds_nothing_is_refused_and_stays(tmp_path, content, said):
    journal = tmp_path / "r.json.journal"
    journal.write_bytes(content)
    with pytest.raises(RecordError, match=said):
        recover(journal)
    assert content == journal.read_bytes()


def test_a_journal_of_a_later_version_is_refused_and_stays(killed):
    path, _ = killed
    opened, *rest = journal_of(path).read_bytes().splitlines(keepends=True)
    content = msgspec.json.decode(opened) | {"version": 3}
    journal_of(path).write_bytes(msgspec.json.encode(content) + b"\n" + b"".join(rest))
    with pytest.raises(RecordError, match="journal of version 3, this edge_tester reads version 2"):
        recover(path)
    with pytest.raises(RecordError, match="journal of version 3"), open_journal(path, print):
        pass
    assert journal_of(path).exists()


def test_a_run_that_was_killed_before_it_measured_leaves_nothing(tmp_path):
    path, told = tmp_path / "r.json", Told()
    journal_of(path).write_bytes(b'{"type": "opened", "ver')
    run(plan(tmp_path), told, path)
    assert "it had measured nothing" in told.texts[0]
    assert not journal_of(path).exists()


def test_a_journal_is_locked_while_its_run_lives(tmp_path):
    path = tmp_path / "r.json"
    with open_journal(path, print):
        for attempt in (lambda: recover(path), lambda: run(plan(tmp_path), path=path)):
            with pytest.raises(RecordError, match="is written by another process"):
                attempt()
    assert not journal_of(path).exists()


def test_single_scores_are_settled_as_an_evaluation_does(tmp_path, monkeypatch):
    """Which threshold is meant shows only with the scores of all."""
    values = np.array([[0.25], [0.75], [-3.0], [3.0]], np.float32)
    spec = '{"name": "x", "shape": [null, 1], "dtype": "float32"}'
    path = tmp_path / "one.echo"
    path.write_text(f'{{"inputs": [{spec}], "outputs": [{spec}], "inference_ns": 0}}')
    dataset = npz(tmp_path, x=values, y=np.array([0, 1, 0, 1]))
    record = tmp_path / "r.json"
    one = plan_of(EchoModel(model_path=path), dataset, EchoRuntime(), conversation="classical")
    with monkeypatch.context() as patch:
        patch.setattr("edge_tester.core.run.running.Run._write", lambda run, record: None)
        made = run(one, path=record)
    assert [1, 1, 0, 1] == made.predictions.predicted
    assert_recovered(recover(record), made)


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path, monkeypatch):
    """Some bytes of a line may still fit: they go again."""
    written, write = [], os.write

    def full(descriptor, content):
        if len(written) == 4:
            write(descriptor, content[:17])
            raise OSError(28, "No space left on device")
        written.append(descriptor)
        return write(descriptor, content)

    path = tmp_path / "r.json"
    monkeypatch.setattr("edge_tester.core.run.journal.os.write", full)
    monkeypatch.setattr(
        "edge_tester.core.run.running.write_record",
        lambda record, path: (_ for _ in ()).throw(RecordError("It cannot be written.")),
    )
    with pytest.raises(RecordError, match="It cannot be written. What was measured is kept in"):
        run(plan(tmp_path, conversation="classical"), path=path)
    assert 3 == len(read_journal(journal_of(path)).blocks)
    assert journal_of(path).read_bytes().endswith(b"}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs kill -9")
def test_kill_9_loses_at_most_the_block_in_progress(tmp_path):
    """A real process, at random moments; what its files had is what is recovered."""
    echo_model(tmp_path)
    values = np.arange(120_000, dtype=np.uint32).reshape(-1, 4).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=values, y=np.zeros(30_000, int))
    path, outputs = tmp_path / "r.json", tmp_path / "outputs" / "output_0.npy"
    moments = random.Random(0)
    for _ in range(KILLS):
        outputs.unlink(missing_ok=True)
        process = start(tmp_path)
        end_s = time.monotonic() + WAIT_LIMIT_S
        while not journal_of(path).exists() or journal_of(path).read_bytes().count(b"\n") < 4:
            assert process.poll() is None and time.monotonic() < end_s
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == process.wait()
        assert not path.exists()
        lines = journal_of(path).read_bytes().count(b"\n") - 1
        record = read_record(recover(path))
        assert lines == len(record.blocks) >= 3
        assert_consistent(record)
        assert {2} == {len(block.target_ns) for block in record.blocks}
        kept = np.load(outputs)
        # The outputs of a block count right before its line is written.
        assert len(kept) - len(record.target_ns) in (0, 2)
        assert np.array_equal(values[: len(kept)], kept)
        path.unlink()


def start(folder: Path) -> subprocess.Popen:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(folder)}
    command = [sys.executable, "-c", ENDLESS, str(folder)]
    return subprocess.Popen(command, env=environment, cwd=root)


def test_a_run_that_ends_well_leaves_no_journal(tmp_path):
    path = tmp_path / "r.json"
    run(plan(tmp_path), path=path)
    assert [path] == list(tmp_path.glob("r.*"))
