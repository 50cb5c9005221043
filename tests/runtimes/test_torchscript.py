import json
import warnings

import numpy as np
import pytest

from edge_tester.core.errors import ModelError, OptionError
from edge_tester.runtimes.torchscript import TorchScriptRuntime
from edge_tester.testing import RuntimeConformance
from tests import small_models

# The format is on its way out in PyTorch; whoever has such files still wants them run.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

INPUT = {"name": "image", "shape": [None, 1, 8, 8], "dtype": "float32", "layout": "NCHW"}
OUTPUT = {"name": "scores", "shape": [None, 10], "dtype": "float32"}


def save(path, module, *examples, specs=None):
    import torch

    extra = {} if specs is None else {"edge_tester.json": specs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, examples).save(str(path), _extra_files=extra)
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    import torch

    path = tmp_path_factory.mktemp("models") / "recorded.pt"
    specs = json.dumps({"inputs": [INPUT], "outputs": [OUTPUT]})
    return save(path, small_models.torch_module(), torch.zeros(2, 1, 8, 8), specs=specs)


@pytest.fixture(scope="module")
def unrecorded(tmp_path_factory):
    import torch

    path = tmp_path_factory.mktemp("models") / "unrecorded.pt"
    return save(path, small_models.torch_module(), torch.zeros(2, 1, 8, 8))


class TestTorchScriptRuntime(RuntimeConformance):
    cls = TorchScriptRuntime

    @pytest.fixture
    def model_file(self, recorded):
        return recorded

    @pytest.fixture
    def example(self):
        values = small_models.sample((1, 8, 8))
        return [values], [small_models.answer(values)]


class TestGivenShapes(TestTorchScriptRuntime):
    options = {"input_shapes": ["1,1,8,8"], "num_threads": 2}

    @pytest.fixture
    def model_file(self, unrecorded):
        return unrecorded


def load(path, batch_size=1, **options):
    runtime = TorchScriptRuntime(**options)
    runtime.prepare()
    return runtime, runtime.load(path, batch_size)


def test_recorded_specs_are_told(recorded):
    _, ((input_spec,), (output_spec,)) = load(recorded, 3)
    assert ("image", (3, 1, 8, 8), "NCHW") == (
        input_spec.name,
        input_spec.shape,
        input_spec.layout,
    )
    assert ("scores", (3, 10)) == (output_spec.name, output_spec.shape)


def test_file_without_shapes_asks_for_them(unrecorded):
    with pytest.raises(ModelError, match="input_shapes, such as 1,3,224,224"):
        load(unrecorded)


@pytest.mark.parametrize("shape", ["", "a", "1,,2", "-1,2", "1,2:text", "1;2"])
def test_misspelt_shapes_are_refused(shape):
    with pytest.raises(OptionError, match="sizes separated by commas"):
        TorchScriptRuntime(input_shapes=(shape,))


def test_shapes_that_do_not_fit_are_named(unrecorded):
    with pytest.raises(ModelError, match=r"inputs \(1, 1, 8, 7\) float32: .*shapes cannot be"):
        load(unrecorded, input_shapes=("1,1,8,7",))
    with pytest.raises(ModelError, match="2 tensors are given"):
        load(unrecorded, input_shapes=("1,1,8,8", "1"))


def test_state_dict_is_no_torchscript(tmp_path):
    import torch

    path = tmp_path / "state.pt"
    torch.save(small_models.torch_module().state_dict(), path)
    with pytest.raises(ModelError, match="state.pt"):
        load(path)


def test_unreadable_record_is_named(tmp_path):
    import torch

    path = save(tmp_path / "bad.pt", small_models.torch_module(), torch.zeros(1, 64), specs="[1")
    with pytest.raises(ModelError, match="edge_tester.json inside .*bad.pt is unreadable"):
        load(path)


def test_integers_and_several_outputs(tmp_path):
    import torch

    class Two(torch.nn.Module):
        def forward(self, x, y):
            return x + y, x * 2

    ones = torch.ones(1, 3, dtype=torch.int64)
    path = save(tmp_path / "two.pt", Two(), ones, ones)
    runtime, (inputs, outputs) = load(path, input_shapes=("1,3:int64", "1,3:int64"))
    assert ["int64"] * 4 == [spec.dtype for spec in inputs + outputs]
    runtime.set_inputs([np.full((1, 3), 5), np.full((1, 3), 7)])
    runtime.run()
    assert [[[12] * 3], [[10] * 3]] == [values.tolist() for values in runtime.get_outputs()]


def test_open_sizes_stay_open(tmp_path):
    import torch

    class Lengths(torch.nn.Module):
        def forward(self, x):
            return x.sum(2)

    specs = json.dumps({"inputs": [{"name": "x", "shape": [None, None, 4], "dtype": "float32"}]})
    path = save(tmp_path / "open.pt", Lengths(), torch.zeros(2, 3, 4), specs=specs)
    runtime, ((input_spec,), (output_spec,)) = load(path, 2)
    assert ((2, None, 4), (2, None)) == (input_spec.shape, output_spec.shape)
    for length in (5, 2):
        runtime.set_inputs([np.ones((2, length, 4), np.float32)])
        runtime.run()
        assert (2, length) == runtime.get_outputs()[0].shape


def test_nested_outputs_are_flattened_with_their_names(tmp_path):
    import torch

    class Named(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, list[torch.Tensor]]:
            return {"y": [x, 2 * x], "alone": [3 * x]}

    path = tmp_path / "named.pt"
    torch.jit.script(Named()).save(str(path))
    runtime, (_, outputs) = load(path, input_shapes=("1,2",))
    assert ["y_0", "y_1", "alone_0"] == [spec.name for spec in outputs]
    runtime.set_inputs([np.ones((1, 2), np.float32)])
    runtime.run()
    assert [1, 2, 3] == [output[0, 0] for output in runtime.get_outputs()]


def test_output_that_is_no_tensor_is_refused(tmp_path):
    import torch

    class Named(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, int]:
            return {"y": 7}

    path = tmp_path / "named.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Named()).save(str(path))
    with pytest.raises(ModelError, match="Output 'y' of .* got int"):
        load(path, input_shapes=("1,2",))


def test_loading_moves_on_no_state_of_the_module(tmp_path):
    """The run on zeros that tells the outputs' shapes leaves no trace."""
    import torch

    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("runs", torch.zeros(1))

        def forward(self, x: torch.Tensor):
            self.runs += 1
            return x + self.runs

    path = tmp_path / "counts.pt"
    torch.jit.script(Counts()).save(str(path))
    runtime, _ = load(path, input_shapes=("1,2",))
    runtime.set_inputs([np.zeros((1, 2), np.float32)])
    runtime.run()
    assert [[1, 1]] == runtime.get_outputs()[0].tolist()
