"""What the truth in an .npz file is taken for."""

import re

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.datasets.npz_file import NpzDataset

CLASSES = np.array([0, 1, 2, 3, 1, 0, 2, 3, 3, 1, 0, 2])
X = np.zeros((len(CLASSES), 2), np.float32)
ONE_HOT = np.eye(4)[CLASSES]


@pytest.fixture
def make(tmp_path):
    def prepared(y, truth_as="auto", **arrays):
        np.savez(tmp_path / "d.npz", x=np.zeros((len(y), 2), np.float32), y=y, **arrays)
        dataset = NpzDataset(dataset_path=tmp_path / "d.npz", truth_as=truth_as)
        dataset.prepare()
        return dataset

    return prepared


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (CLASSES, None),
        (CLASSES.astype(np.uint8), None),
        (CLASSES.astype(">i4"), None),
        (CLASSES[:, np.newaxis], None),
        (CLASSES[:, np.newaxis, np.newaxis], None),
        (CLASSES.astype(np.float64), "whole numbers in y .float64. are taken as class indices"),
        (CLASSES.astype(np.float32)[:, np.newaxis], "taken as class indices"),
        (CLASSES.astype(np.float16), "taken as class indices"),
        (ONE_HOT, "one-hot .4 columns"),
        (ONE_HOT.astype(np.float32)[:, np.newaxis], "one-hot .4 columns"),
        (ONE_HOT.astype(np.int64), "one-hot .4 columns"),
        (ONE_HOT.astype(bool), "one-hot .4 columns"),
        (CLASSES.astype(str), "numbers as texts"),
        (CLASSES.astype("S"), "numbers as texts"),
        (np.array(list("abcd"))[CLASSES], "0 a, 1 b, 2 c, 3 d"),
        (np.array(list("abcd")).astype("S")[CLASSES][:, np.newaxis], "0 a, 1 b, 2 c, 3 d"),
    ],
)
def test_classes_are_taken_for_classes(make, y, said):
    dataset = make(y)
    assert "classification" == dataset.task
    assert CLASSES.tolist() == dataset.load(range(12)).truth.tolist()
    assert CLASSES.tolist() == dataset.labels().tolist()
    assert 4 == dataset.label_count()
    if said is None:
        assert [] == dataset.remarks()
    else:
        assert re.search(said, dataset.remarks()[0])


def test_true_and_false_are_two_classes(make):
    dataset = make(CLASSES > 1)
    assert (CLASSES > 1).astype(int).tolist() == dataset.labels().tolist()
    assert 2 == make(np.zeros(5, bool)).label_count()


def test_columns_of_one_hot_rows_count_as_classes(make):
    assert 6 == make(np.eye(6)[CLASSES]).label_count()


def test_texts_follow_the_names_of_the_classes(make):
    y = np.array(["dog", "cat", "dog"])
    named = make(y, class_names=["owl", "dog", "cat"])
    assert [1, 2, 1] == named.labels().tolist()
    assert [] == named.remarks()
    assert ["cat", "dog"] == make(y).class_names()
    assert [1, 2, 1] == make(y, class_names=[b"owl", b"dog", b"cat"]).labels().tolist()
    with pytest.raises(DatasetError, match="class_names has one of them twice"):
        make(y, class_names=["cat", "dog", "cat"])
    with pytest.raises(DatasetError, match="has the class 'dog', which class_names lacks"):
        make(y, class_names=["cat"])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.linspace(0, 1, 12), None),
        (np.linspace(0, 1, 12)[:, np.newaxis], None),
        (np.arange(24.0).reshape(12, 2) / 7, None),
        (np.arange(1990.0, 2002), "--truth-as classification"),
        (np.arange(12.0) * 7, "--truth-as classification"),
        (np.tile([0.25, 0.75], (12, 1)), "sum up to 1 like probabilities"),
        (np.tile([1.0, 1.0, 0.0], (12, 1)), "not one-hot"),
    ],
)
def test_values_are_taken_for_values(make, y, said):
    dataset = make(y)
    assert ("regression", None, None) == (dataset.task, dataset.labels(), dataset.label_count())
    assert np.array_equal(y, dataset.load(range(12)).truth)
    assert (said is None) == (dataset.remarks() == [])
    assert said is None or said in dataset.remarks()[0]


def test_the_user_decides(make):
    values = make(CLASSES, "regression")
    assert ("regression", []) == (values.task, values.remarks())
    assert (np.float64, CLASSES.tolist()) == (values.truth.dtype, values.truth.tolist())
    assert "regression" == make(ONE_HOT, "regression").task
    years = make(np.arange(12.0) * 7, "classification")
    assert ([*range(0, 84, 7)], []) == (years.labels().tolist(), years.remarks())
    soft = np.where(ONE_HOT == 1, 0.91, 0.03)
    assert CLASSES.tolist() == make(soft, "classification").labels().tolist()
    assert 256 == make(np.array([0, 1, 255], np.uint8), "classification").label_count()


@pytest.mark.parametrize(
    ("y", "truth_as", "said"),
    [
        (np.array([0, 1, -1, 2]), "auto", "-1 among its class indices .1 samples.*leave out of x"),
        (np.array([0.0, 1.0, -1.0, 0.0]), "auto", "-1 among its class indices"),
        (np.array([0, 1, -100, 2]), "classification", "-100 among its class indices"),
        (np.array([0, 1, 255, 2], np.uint8), "auto", "255 in 1 samples.*unknown.*--truth-as"),
        (np.array([0, 1, 255, 2], np.int64), "auto", "255 in 1 samples.*unknown"),
        (np.array([0, 1, 65535, 2]), "auto", "65535 in 1 samples"),
        (np.array([0.0, np.nan, 1.0]), "auto", "not finite in 1 samples: leave them out"),
        (np.array([0.5, np.inf, 1.0]), "regression", "not finite in 1 samples"),
        (np.array([[0, 1, 1], [1, 0, 0]]), "auto", "not one-hot.*one class index.*--truth-as reg"),
        (np.array([[True, True], [True, False]]), "auto", "not one-hot.*one class index"),
        (np.zeros((4, 3, 3), np.uint8), "auto", "one class index"),
        (np.array([0.5, 1.0]), "classification", "has fractions, such as 0.5"),
        (np.array([[0.5, 1.0]]), "classification", "one index for each sample"),
        (np.array(["a", "b"]), "regression", "is text"),
        (np.array([1j, 2]), "auto", "neither numbers nor texts"),
    ],
)
def test_what_is_in_doubt_is_refused_with_the_cure(make, y, truth_as, said):
    with pytest.raises(DatasetError, match=f"d.npz has a y that .*{said}"):
        make(y, truth_as)


def test_named_classes_are_classes(make):
    y = np.array([2.0, 7.0])
    assert "regression" == make(y).task
    assert [2, 7] == make(y, class_names=list("abcdefgh")).labels().tolist()
