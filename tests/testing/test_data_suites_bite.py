"""The suites of data sets and model wrappers reject plugins that are bad in one way each."""

import inspect

import numpy as np
import pytest

from edge_tester.core.dataset import Dataset, Samples, Split
from edge_tester.core.errors import EdgeTesterError, InputError, ModelError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import state
from edge_tester.core.tensors import TensorSpec
from edge_tester.testing import DatasetConformance, ModelWrapperConformance

SPEC = TensorSpec("numbers", (1, 4), "float32")
CONTENT = b"doubles"


class GoodDataset(Dataset):
    """Forty rows of numbers in two classes."""

    rows: np.ndarray | None = state()

    def prepare(self):
        self.rows = np.arange(160, dtype=np.float32).reshape(40, 4)

    def __len__(self):
        return len(self.prepared(self.rows))

    def load(self, indices):
        chosen = np.asarray(indices)
        return Samples((self.prepared(self.rows)[chosen],), self.labels()[chosen])

    def labels(self):
        return np.arange(len(self)) % 2

    def class_names(self):
        return ["even", "odd"]


class AliasingDataset(GoodDataset):
    """Gives out its own memory."""

    def load(self, indices):
        first = int(indices[0])
        if list(indices) == list(range(first, first + len(indices))):
            part = slice(first, first + len(indices))
            return Samples((self.prepared(self.rows)[part],), self.labels()[part])
        return super().load(indices)


class NumpySpeakingDataset(GoodDataset):
    """Says of its samples what no record can keep."""

    def facts(self):
        return {"rows": np.int64(40)}


class NumpyNamingDataset(GoodDataset):
    """Names its classes in texts of numpy."""

    def class_names(self):
        return list(np.array(["even", "odd"]))


class SortingDataset(GoodDataset):
    """Loads in its own order."""

    def load(self, indices):
        return super().load(sorted(indices))


class QuietDataset(GoodDataset):
    """Is quietly empty if nobody prepared it."""

    def load(self, indices):
        if self.rows is None:
            return Samples((np.zeros((len(indices), 4), np.float32),), None)
        return super().load(indices)


class OverlappingDataset(GoodDataset):
    """Measures what it was trained on."""

    def split(self):
        good = super().split()
        return Split(good.train, good.validation, good.calibration, np.arange(len(self)))


class FloatingDataset(GoodDataset):
    """Has classes that are no integers."""

    def load(self, indices):
        samples = super().load(indices)
        return Samples(samples.inputs, samples.truth.astype(float))


class MisfitDataset(GoodDataset):
    """Has samples of another shape than the model takes."""

    def load(self, indices):
        samples = super().load(indices)
        return Samples((samples.inputs[0][:, :3],), samples.truth)


class HidingDataset(GoodDataset):
    """Splits anew whatever was set apart for calibration."""

    def split(self):
        return self.own_split()


class StubbornDataset(GoodDataset):
    """Measures everything, a limit or not."""

    def test_indices(self):
        return self.split().test


class UnrecordableDataset(GoodDataset):
    """Has facts that no record can hold."""

    def facts(self):
        return {"rows": np.int64(len(self))}


class MiscountingDataset(GoodDataset):
    """Has more classes than it says."""

    def label_count(self):
        return 1


class DatasetSuite(DatasetConformance):
    cls = GoodDataset
    inputs = (SPEC,)


class GoodModel(ModelWrapper):
    """Doubles numbers."""

    ready: bool = state(False)

    @property
    def format(self):
        return "doubling"

    def load(self):
        if not self.model_path.exists() or self.model_path.read_bytes() != CONTENT:
            raise ModelError(f"{self.model_path} is no doubling model")
        self.ready = True

    def specs(self):
        if not self.ready:
            raise ModelError("used before load()")
        spec = TensorSpec("numbers", (None, 4), "float32")
        return [spec], [spec]

    def run(self, inputs):
        (spec,), _ = self.specs()
        if len(inputs) != 1:
            raise InputError("takes one input")
        return [spec.conform(inputs[0]) * 2]


class AliasingModel(GoodModel):
    """Gives out the buffer that its next run writes to."""

    buffer: np.ndarray = state(default_factory=lambda: np.zeros((3, 4), np.float32))

    def run(self, inputs):
        (answer,) = super().run(inputs)
        self.buffer[: len(answer)] = answer
        return [self.buffer[: len(answer)]]


class BatchBlindModel(GoodModel):
    """Answers by what else is in the batch."""

    def run(self, inputs):
        (answer,) = super().run(inputs)
        return [answer - answer.mean(axis=0)]


class CarelessModel(GoodModel):
    """Loads anything and takes anything."""

    def load(self):
        self.ready = True

    def run(self, inputs):
        self.specs()
        return [inputs[0] * 2]


class ScalingInPlaceModel(GoodModel):
    """Preprocesses in the data set's memory."""

    def preprocess(self, inputs, specs):
        inputs[0][...] /= 2
        return list(inputs)


class FileChangingModel(GoodModel):
    """Writes to its model file."""

    def run(self, inputs):
        answers = super().run(inputs)
        self.model_path.write_bytes(CONTENT + b"!")
        return answers


class ForgetfulModel(GoodModel):
    """Trains nothing and does not say so."""

    def train(self, dataset, plan):
        return {}


class WrongSpecModel(GoodModel):
    """Answers in another type than it says."""

    def run(self, inputs):
        return [super().run(inputs)[0].astype(np.float64)]


class ModelSuite(ModelWrapperConformance):
    cls = GoodModel


@pytest.fixture
def values(tmp_path):
    model_file = tmp_path / "model.doubling"
    model_file.write_bytes(CONTENT)
    return {"tmp_path": tmp_path, "model_file": model_file, "content": b"no model"}


def check(suite, plugin, name, values):
    """Run one check of a suite on a plugin, as pytest would."""
    chosen = type("Chosen", (suite,), {"cls": plugin})()
    values = dict(values)
    values["fresh"] = plugin() if suite is DatasetSuite else GoodDataset()
    values["dataset"] = plugin() if suite is DatasetSuite else GoodDataset()
    values["dataset"].prepare()
    method = getattr(chosen, name)
    wanted = inspect.signature(method).parameters
    if suite is ModelSuite:
        values["model"] = plugin(model_path=values["model_file"])
        values["loaded"] = plugin(model_path=values["model_file"])
        values["loaded"].load()
    method(**{key: values[key] for key in wanted})


def checks(suite):
    return [name for name in dir(suite) if name.startswith("test_")]


@pytest.mark.parametrize("name", checks(DatasetSuite))
def test_good_dataset_passes(name, values):
    check(DatasetSuite, GoodDataset, name, values)


@pytest.mark.parametrize("name", checks(ModelSuite))
def test_good_model_passes(name, values):
    check(ModelSuite, GoodModel, name, values)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (AliasingDataset, "test_samples_belong_to_the_caller"),
        (NumpySpeakingDataset, "test_what_is_said_of_the_samples_can_be_recorded"),
        (NumpyNamingDataset, "test_what_is_said_of_the_samples_can_be_recorded"),
        (SortingDataset, "test_loads_what_was_asked_for"),
        (QuietDataset, "test_loading_unprepared_is_refused"),
        (OverlappingDataset, "test_split_is_disjoint_and_in_order"),
        (FloatingDataset, "test_truth_is_that_of_the_task"),
        (MisfitDataset, "test_samples_fit_the_model"),
        (HidingDataset, "test_samples_set_apart_for_calibration_are_not_measured"),
        (OverlappingDataset, "test_samples_set_apart_for_calibration_are_not_measured"),
        (StubbornDataset, "test_a_limit_takes_some"),
        (UnrecordableDataset, "test_what_is_said_of_the_samples_can_be_recorded"),
        (MiscountingDataset, "test_what_is_said_of_the_samples_can_be_recorded"),
    ],
)
def test_bad_dataset_is_rejected(plugin, name, values):
    with pytest.raises((AssertionError, EdgeTesterError, TypeError, pytest.fail.Exception)):
        check(DatasetSuite, plugin, name, values)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (AliasingModel, "test_answers_belong_to_the_caller"),
        (BatchBlindModel, "test_batch_answers_like_single_samples"),
        (CarelessModel, "test_missing_file_is_named"),
        (CarelessModel, "test_corrupt_file_is_named"),
        (CarelessModel, "test_inputs_that_do_not_fit_are_refused"),
        (ScalingInPlaceModel, "test_preprocessing_gives_what_the_model_takes"),
        (FileChangingModel, "test_loading_twice_and_running_leave_the_file_alone"),
        (ForgetfulModel, "test_training_is_reproducible"),
        (WrongSpecModel, "test_specs_describe_the_answers"),
    ],
)
def test_bad_model_is_rejected(plugin, name, values):
    with pytest.raises((AssertionError, EdgeTesterError, pytest.fail.Exception)):
        check(ModelSuite, plugin, name, values)
