import dataclasses

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile


@dataclasses.dataclass
class Setting:
    """A data set of some labels, and the options of a model."""

    folder: object

    def evaluation(self, labels, names=None, model_names=None, classes=4, **options):
        arrays = {"x": np.zeros((len(labels), 2), np.float32), "y": np.array(labels)}
        if names:
            arrays["class_names"] = np.array(names)
        np.savez(self.folder / "d.npz", **arrays)
        dataset = NpzDataset(dataset_path=self.folder / "d.npz")
        dataset.prepare()
        if model_names:
            (self.folder / "names.txt").write_text("\n".join(model_names))
            options["class_names"] = self.folder / "names.txt"
        evaluation = Evaluation(ONNXFile(model_path="m.onnx", **options), dataset)
        evaluation.check([TensorSpec("scores", (1, classes), "float32")])
        return evaluation


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


def test_labels_are_checked_before_anything_runs(setting):
    with pytest.raises(DatasetError, match="samples of class 4, .*for 4 classes, 0 to 3"):
        setting.evaluation([0, 4])


def test_numbering_from_one_is_advised_about(setting):
    with pytest.raises(DatasetError, match="--label-offset -1 makes them begin at 0"):
        setting.evaluation([1, 2, 3, 4])
    shifted = setting.evaluation([1, 2, 3, 4], label_offset=-1)
    assert [0, 3] == shifted.translated(np.array([1, 4])).tolist()


def test_an_offset_shifts_labels_and_names(setting):
    evaluation = setting.evaluation([0, 2], ["a", "b", "c"], label_offset=1)
    evaluation.update(np.eye(4)[[1, 3]], np.array([0, 2]))
    assert 1.0 == evaluation.result().accuracy
    assert ["0", "a", "b", "c"] == [one.name for one in evaluation.result().per_class]
    assert [1, 3] == evaluation.translated(np.array([0, 2])).tolist()


def test_an_offset_that_would_help_is_suggested(setting):
    evaluation = setting.evaluation([0] * 30)
    evaluation.update(np.eye(4)[np.full(30, 1)], np.zeros(30, int))
    assert any("--label-offset 1 " in remark for remark in evaluation.remarks())


def test_no_offset_is_suggested_to_a_model_that_is_only_bad(setting):
    evaluation = setting.evaluation([0] * 40)
    evaluation.update(np.eye(4)[np.arange(40) % 4], np.zeros(40, int))
    assert not any("label-offset" in remark for remark in evaluation.remarks())


def test_classes_are_found_by_their_names(setting):
    evaluation = setting.evaluation([0, 1], ["dog", "ant"], ["ant", "bee", "cat", "dog"])
    evaluation.update(np.eye(4)[[3, 0]], np.array([0, 1]))
    assert 1.0 == evaluation.result().accuracy
    assert ["ant", "bee", "cat", "dog"] == evaluation.class_names


def test_a_class_that_the_model_does_not_name_is_refused(setting):
    with pytest.raises(OptionError, match="class 'dgo' is not among .*did you mean 'dog'"):
        setting.evaluation([0], ["dgo"], ["ant", "bee", "cat", "dog"])


def test_a_file_without_names_is_refused(setting):
    with pytest.raises(OptionError, match="names no class"):
        setting.evaluation([0], ["a"], ["", ""])


def test_names_are_found_by_their_letters(setting):
    names = ["crane", "tench, Tinca tinca", "crane", "Egyptian cat"]
    evaluation = setting.evaluation([0, 1], ["egyptian_cat", "Tench"], names)
    assert [3, 1] == evaluation.translated(np.array([0, 1])).tolist()
    with pytest.raises(OptionError, match="'crane' is 2 of .*numbers 0, 2"):
        setting.evaluation([0], ["crane"], names)


def test_another_number_of_classes_is_said(setting):
    evaluation = setting.evaluation([0, 1], ["a", "b"])
    assert "The data set has 2 classes, the model 4 scores" in evaluation.remarks()[0]
    assert [] == setting.evaluation([0, 1], list("abcd")).remarks()


class TestSingleScores:
    SCORES = np.array([[-2.0], [0.3], [4.0], [-0.1]], np.float32)
    LABELS = np.array([0, 1, 1, 0])

    def test_logits_are_split_at_zero_and_that_is_said(self, setting):
        evaluation = setting.evaluation(self.LABELS, classes=1)
        predicted = []
        for score, label in zip(self.SCORES, self.LABELS, strict=True):
            evaluation.update(score[None], np.array([label]))
            predicted += evaluation.predicted(score[None])
        assert (1.0, 0.0) == (evaluation.result().accuracy, evaluation.result().threshold)
        assert [0, 1, 1, 0] == evaluation.settled(predicted)
        assert "taken for logits" in evaluation.remarks()[0]

    def test_a_threshold_that_is_given_holds(self, setting):
        evaluation = setting.evaluation(self.LABELS, classes=1, threshold=1.0)
        evaluation.update(self.SCORES, self.LABELS)
        assert (0.75, 1.0) == (evaluation.result().accuracy, evaluation.result().threshold)
        assert [0, 0, 1, 0] == evaluation.settled(evaluation.predicted(self.SCORES))
        assert [] == evaluation.remarks()


def test_classes_as_answers(setting):
    evaluation = setting.evaluation([0, 1, 2])
    evaluation.update(np.array([[0], [1], [7]]), np.array([0, 1, 2]))
    result = evaluation.result()
    assert (2 / 3, None) == (result.accuracy, result.top5_accuracy)


def test_one_class_for_everything_is_said(setting):
    evaluation = setting.evaluation([0, 1] * 6)
    evaluation.update(np.eye(4)[np.zeros(12, int)], np.array([0, 1] * 6))
    assert "All 12 predictions are one class, '0'." in evaluation.remarks()
