import json

import pytest

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.pipeline.phases import Impossible, Phases
from edge_tester.core.run.observer import Observer


def _raising(error):
    def work():
        raise error

    return work


def test_a_phase_is_done_again_only_if_what_it_rests_on_changed(tmp_path):
    calls = []

    def work():
        calls.append(1)
        return {"found": len(calls)}

    for rests_on, expected in ((["a"], 1), (["a"], 1), (["b"], 2), (None, 3), (None, 4)):
        found = Phases(tmp_path, Observer()).run("1-x", "X", work, rests_on)
        assert {"found": expected} == found


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (EdgeTesterError("no target"), "failed", "no target"),
        (Impossible("no device"), "impossible", "no device"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
)
def test_the_rest_goes_on_where_a_phase_fails(tmp_path, error, status, reason):
    phases = Phases(tmp_path, Observer())
    assert {} == phases.run("1-x", "X", _raising(error), ["a"])
    assert {"y": 1} == phases.run("2-y", "Y", lambda: {"y": 1}, ["a"])
    assert [status, "done"] == [one.status for one in phases.done]
    content = json.loads((tmp_path / "1-x.json").read_text())
    assert (status, reason) == (content["status"], content["reason"])
    # What failed is tried again.
    again = Phases(tmp_path, Observer())
    assert {"x": 2} == again.run("1-x", "X", lambda: {"x": 2}, ["a"])


def test_an_interrupt_ends_all(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Phases(tmp_path, Observer()).run("1-x", "X", _raising(KeyboardInterrupt()), ["a"])
    assert not (tmp_path / "1-x.json").exists()


def test_a_file_that_was_cut_off_is_as_if_it_were_not_there(tmp_path):
    Phases(tmp_path, Observer()).run("1-x", "X", lambda: {"x": 1}, ["a"])
    content = (tmp_path / "1-x.json").read_bytes()
    (tmp_path / "1-x.json").write_bytes(content[: len(content) // 2])
    assert {"x": 2} == Phases(tmp_path, Observer()).run("1-x", "X", lambda: {"x": 2}, ["a"])


def test_a_phase_is_done_again_if_what_it_wrote_is_gone(tmp_path):
    def work():
        (tmp_path / "made").touch()
        return {"file": "made"}

    def run():
        phases = Phases(tmp_path, Observer())
        phases.run("1-x", "X", work, ["a"], lambda content: [tmp_path / content["file"]])
        return (tmp_path / "made").exists()

    assert run()
    (tmp_path / "made").unlink()
    assert run()
