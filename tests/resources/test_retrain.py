from pathlib import Path

from edge_tester.resources import retrain


def test_both_files_are_written_from_one_training(tmp_path):
    accuracies = retrain.retrain(tmp_path, num_epochs=1)
    assert {"digits.tflite", "digits.onnx"} == set(accuracies)
    assert set(accuracies) == {path.name for path in tmp_path.iterdir()}
    assert accuracies["digits.tflite"] == accuracies["digits.onnx"] > 0.3


def test_a_bad_training_replaces_nothing(capsys):
    folder = Path(retrain.__file__).parent
    before = {path: path.read_bytes() for path in folder.glob("digits.*")}
    assert 1 == retrain.main(num_epochs=1)
    assert "nothing was replaced" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in folder.glob("digits.*")}
