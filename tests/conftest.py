import signal

import pytest

from tests import small_models

# Runs tests inside a test.
pytest_plugins = ("pytester",)


@pytest.fixture(scope="session")
def small_keras():
    """A Keras model; see small_models."""
    return small_models.keras_model()


@pytest.fixture(scope="session")
def small_tflite(small_keras, tmp_path_factory):
    """A float32 .tflite with an open batch dimension."""
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    path.write_bytes(small_models.tflite_content(small_keras))
    return path


def pytest_configure():
    """Let Ctrl-C reach what tests start: processes of pytest-xdist ignore it, and hand that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
