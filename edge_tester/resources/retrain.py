"""Retrain the models that come with this package: ``python -m edge_tester.resources.retrain``.

One network is trained in TensorFlow and written in both formats, so that
comparing them compares formats and runtimes, not trainings.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from edge_tester.core.backends import backend
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.system.files import write_atomically
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.tensorflow_digits import TensorFlowDigitsClassifier
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

NUM_EPOCHS = 60
# Below this something is wrong with the training, and the files stay as they are.
MINIMUM_ACCURACY = 0.97


def retrain(folder: Path, num_epochs: int = NUM_EPOCHS) -> dict[str, float]:
    """Train the digits classifier and write ``digits.tflite`` and ``digits.onnx``.

    Parameters
    ----------
    folder : Path
        Where the two files are written.
    num_epochs : int, default=60

    Returns
    -------
    dict of str to float
        Accuracy of each written file on the test split, by file name.
    """
    dataset = DigitsDataset(inference_batch_size=1)
    dataset.prepare()
    with tempfile.TemporaryDirectory() as temporary:
        trained = TensorFlowDigitsClassifier(model_path=Path(temporary) / "digits.keras")
        trained.train(dataset, TrainingPlan(num_epochs=num_epochs))
    tflite_path, onnx_path = folder / "digits.tflite", folder / "digits.onnx"
    write_atomically(tflite_path, _as_tflite(trained))
    trained.save_to_onnx(onnx_path)
    written: list[ModelWrapper] = [
        TFLiteFile(model_path=tflite_path),
        ONNXFile(model_path=onnx_path),
    ]
    accuracies = {}
    for model in written:
        model.load()
        quality = evaluate(model, dataset, dataset.test_indices())
        accuracies[model.model_path.name] = quality.accuracy or 0.0
    return accuracies


def _as_tflite(trained: TensorFlowDigitsClassifier) -> bytes:
    tensorflow = backend("tensorflow", "Retraining the shipped models")
    # By way of a SavedModel: converting a bare function leaves variables in the
    # file that nobody initializes, and the results are garbage without an error.
    with tempfile.TemporaryDirectory() as folder:
        trained.save(Path(folder) / "digits")
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(f"{folder}/digits")
        content: bytes = converter.convert()
    return content


def main(num_epochs: int = NUM_EPOCHS) -> int:
    """Retrain into a scratch folder first; replace the shipped files only by good ones."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as temporary:
        accuracies = retrain(Path(temporary), num_epochs)
        for name, accuracy in accuracies.items():
            print(f"{name}: {accuracy:.2%} of the test split right")
        if min(accuracies.values()) < MINIMUM_ACCURACY:
            print(f"Below {MINIMUM_ACCURACY:.0%}: nothing was replaced.", file=sys.stderr)
            return 1
        for name in accuracies:
            write_atomically(here / name, (Path(temporary) / name).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
