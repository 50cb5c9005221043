"""Compiled models that are kept, and why one is made again."""

from pathlib import Path

import numpy as np
import pytest

import edge_tester.resources
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.core.making.cache import CompileCache, ingredients_of
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

DIGITS = Path(edge_tester.resources.__file__).with_name("digits.onnx")


@pytest.fixture
def cache(tmp_path) -> CompileCache:
    return CompileCache(tmp_path / "compiled")


@pytest.fixture
def dataset() -> DigitsDataset:
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture
def model() -> ONNXFile:
    return ONNXFile(model_path=DIGITS)


def compiler(**options) -> ONNXCompiler:
    return ONNXCompiler(compiled_model_path=Path("unused"), **options)


def test_what_was_made_is_found_with_all_that_is_known_of_it(cache, model, dataset):
    ingredients = ingredients_of(compiler(target="int8"), model, dataset)
    assert cache.find(ingredients) is None
    made = cache.make(ingredients, compiler(target="int8"), model, dataset)
    assert 1.0 == made.weights.quantized_share
    assert model.artifact().sha256 == made.parent.sha256
    assert made == cache.find(ingredients)
    assert "kept" == cache.explain(ingredients)


def test_it_is_explained_what_differs(cache, model, dataset):
    before = ingredients_of(compiler(), model, dataset)
    nothing = "to be compiled: nothing by this compiler is kept"
    assert nothing == cache.explain(before)
    cache.make(before, compiler(), model, dataset)
    scaled = ONNXFile(model_path=DIGITS, input_scale=0.5)
    expected = "to be compiled: modelwrapper.input_scale was 1.0, is 0.5"
    assert expected == cache.explain(ingredients_of(compiler(), scaled, dataset))
    newer = {**before, "version of onnx": "9.9"}
    assert "version of onnx was" in cache.explain(newer)
    other_machine = {**before, "processor features": "neon"}
    assert "processor features was" in cache.explain(other_machine)


def test_calibration_samples_count_only_where_they_are_used(cache, model, tmp_path):
    found = []
    for value in (1, 2):
        path = tmp_path / f"{value}.npz"
        inputs = np.full((300, 8, 8, 1), value, np.float32)
        np.savez(path, x=inputs, y=np.arange(300) % 10)
        dataset = NpzDataset(dataset_path=path, test_fraction=0, calibration_fraction=1)
        dataset.prepare()
        found.append(
            [ingredients_of(compiler(target=t), model, dataset) for t in ("default", "int8")]
        )
    (plain, quantized), (plain_too, quantized_otherwise) = found
    assert plain == plain_too
    differing = {k for k in quantized if quantized[k] != quantized_otherwise[k]}
    assert {"calibration samples"} == differing


@pytest.mark.parametrize("change", [lambda p: p.unlink(), lambda p: p.write_bytes(b"damaged")])
def test_a_damaged_file_is_made_again(cache, model, dataset, change):
    ingredients = ingredients_of(compiler(), model, dataset)
    made = cache.make(ingredients, compiler(), model, dataset)
    change(made.path)
    assert cache.find(ingredients) is None
    assert "the file that is kept was changed or removed" in cache.explain(ingredients)
    assert made == cache.make(ingredients, compiler(), model, dataset)


def test_what_fails_leaves_nothing_that_could_be_found(cache, dataset, tmp_path):
    path = tmp_path / "corrupt.onnx"
    path.write_bytes(DIGITS.read_bytes()[:1000])
    model = ONNXFile(model_path=path)
    ingredients = ingredients_of(compiler(), model, dataset)
    with pytest.raises((CompilationError, ModelError), match="corrupt.onnx"):
        cache.make(ingredients, compiler(), model, dataset)
    assert cache.find(ingredients) is None
