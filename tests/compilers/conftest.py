import pytest

from edge_tester.datasets.digits import DigitsDataset


@pytest.fixture(scope="session")
def digits():
    """The digits, prepared."""
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture(scope="session")
def keras_file(small_keras, tmp_path_factory):
    """The small Keras model as .keras file."""
    path = tmp_path_factory.mktemp("keras") / "small.keras"
    small_keras.save(path)
    return path


@pytest.fixture(scope="session")
def saved_model(small_keras, tmp_path_factory):
    """The small Keras model as SavedModel folder."""
    path = tmp_path_factory.mktemp("savedmodel") / "small"
    small_keras.export(str(path), verbose=False)
    return path
