import os
import signal
import sys
from pathlib import Path

# Each processor has its own tests: threads of frameworks would wait for each other, busily. Before
# any of them is imported; what is started by tests gets it too.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
# Tests start a thousand processes. Where containers turn it off to keep layers small, each of them
# would compile the whole package anew, which takes longer than most of what it then does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Whoever starts the tests by nohup has it ignored, by all that tests start as well.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest  # noqa: E402

from tests import small_models  # noqa: E402

ROOT = Path(__file__).parent
# What "make check" leaves out: whole networks through whole frameworks, agents that are attacked
# for minutes, and every block of the documentation.
SLOW = (
    "compilers",
    "core/agent/test_agent.py",
    "faults/test_attacks.py",
    "core/agent/test_isolation_formats.py",
    "faults/test_peers.py",
    "core/agent/test_sessions.py",
    "faults/test_sessions_attacked.py",
    "core/checking",
    "core/deploying/test_installing.py",
    "core/making",
    "core/run/test_interrupted.py",
    "core/run/test_journal.py",
    "core/run/test_together.py",
    "core/search/test_optimizing.py",
    "examples",
    "modelwrappers",
    "onnxconverters",
    "patterns/test_on_agents.py",
    "resources",
    "runtimeprotocols/test_serial.py",
    "runtimeprotocols/test_ssh.py",
    "runtimes",
    "scenarios/test_classical.py",
    "scenarios/test_compare.py",
    "scenarios/test_install.py",
    "scenarios/test_interrupted.py",
    "scenarios/test_matrix.py",
    "scenarios/test_onnx_conversion.py",
    "scenarios/test_own_files.py",
    "scenarios/test_owner.py",
    "scenarios/test_patterns.py",
    "scenarios/test_report.py",
    "scenarios/test_run_file.py",
    "scenarios/test_sweep.py",
    "scenarios/test_sweep_workers.py",
    "test_packaging.py",
    "test_readme.py",
)
# What runs tests inside a test; boards behind ssh.
pytest_plugins = ("pytester", "tests.boards")
# One process has each file to itself: the longest come first, or the others wait for them.
FIRST = (
    "test_readme.py",
    "compilers/test_quality.py",
    "compilers/test_executorch.py",
    "compilers/test_litert_torch.py",
    "compilers/test_onnx2tf.py",
    "onnxconverters/test_tensorflow.py",
    "faults/test_attacks.py",
    "scenarios/test_sweep_workers.py",
    "scenarios/test_matrix.py",
    "runtimeprotocols/test_ssh.py",
    "compilers/test_tvm_schedules.py",
    "compilers/test_tvm.py",
    "compilers/test_tvm_tuning.py",
    "compilers/test_coreml.py",
    "scenarios/test_own_files.py",
    "faults/test_sessions_attacked.py",
    "scenarios/test_interrupted.py",
    "modelwrappers/classification/test_tensorflow_pet_dataset.py",
    "onnxconverters/test_pytorch.py",
    "scenarios/test_onnx_conversion.py",
    "scenarios/test_sweep.py",
    "scenarios/test_pipeline.py",
    "examples/test_custom_layer.py",
)


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


def is_slow(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / name) for name in SLOW)


def pytest_ignore_collect(collection_path, config):
    """Import no framework whose tests are not wanted."""
    if config.option.markexpr == "not slow" and is_slow(collection_path):
        return True
    return None


def pytest_collection_modifyitems(items):
    """Mark what takes long, in the one place where it is listed; begin with the longest."""
    first = [ROOT / name for name in FIRST]
    items.sort(key=lambda item: first.index(item.path) if item.path in first else len(first))
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
