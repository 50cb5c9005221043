"""Instructions of an inference, counted with the real valgrind."""

import json
import shutil

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("valgrind") is None or shutil.which("cc") is None,
    reason="valgrind or a C compiler is missing",
)


@pytest.fixture(scope="module")
def counted(user):
    """What counting in two processes wrote."""
    said = user.does("instructions", "m.tflite", "--inferences", 3, "--output", "count.json")
    assert "instructions for an inference, as callgrind counts them (valgrind-" in said
    return json.loads((user.folder / "count.json").read_text())


def test_equal_work_is_an_equal_count(user, counted):
    first, second = counted["instructions"]
    assert first == pytest.approx(second, rel=0.002)
    assert 5_000 < first < 1_000_000
    words = ("instructions", "m.tflite", "--processes", 1, "--inferences", 6)
    status, said, _ = user.run(*words, "--baseline", "count.json", "--output", "again.json")
    again = json.loads((user.folder / "again.json").read_text())
    # However many inferences are counted.
    assert min(first, second) == pytest.approx(again["instructions"][0], rel=0.01)
    assert 0 == status and "Passed: " in said


def test_more_of_them_are_a_regression(user, counted):
    less = {**counted, "instructions": [0.9 * one for one in counted["instructions"]]}
    (user.folder / "less.json").write_text(json.dumps(less))
    words = ("instructions", "m.tflite", "--processes", 1, "--inferences", 3)
    status, said, _ = user.run(*words, "--baseline", "less.json", "--output", "more.json")
    assert 1 == status and "Regression: +1" in said and "at most +1 % allowed" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("m.tflite", "runtimes.tflite", "--num-threads", 2), "num_threads must be 1"),
        (("m.tflite", "--baseline", "none.json"), "none.json cannot be read"),
        (("m.onnx", "--baseline", "count.json", "--processes", 1), "was counted with edge_tester"),
    ],
)
def test_what_cannot_be_compared_is_refused(user, counted, words, said):
    assert said in user.refused("instructions", *words)


def test_a_missing_valgrind_is_named(user, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs valgrind" in user.refused("instructions", "m.tflite")
