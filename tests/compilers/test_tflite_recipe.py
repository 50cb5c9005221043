import json
from pathlib import Path

import pytest

import edge_tester.resources
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError, OptionError
from edge_tester.core.making.cache import ingredients_of
from edge_tester.modelwrappers.generic.keras_file import KerasFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile
from edge_tester.runtimes.tflite import TFLiteRuntime

DIGITS = Path(edge_tester.resources.__file__).parent / "digits.tflite"
# Weights of the shipped classifier.
CONVOLUTIONS, FULLY_CONNECTED = 9 * 16 + 9 * 16 * 32, 128 * 10
WEIGHT_ONLY = {
    "weight_tensor_config": {"num_bits": 8, "granularity": "CHANNELWISE"},
    "compute_precision": "FLOAT",
    "explicit_dequantize": True,
}
FOUR_BITS = {**WEIGHT_ONLY, "weight_tensor_config": {"num_bits": 4, "granularity": "CHANNELWISE"}}
HALF = {**WEIGHT_ONLY, "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"}}
STATIC = {
    "activation_tensor_config": {"num_bits": 8, "symmetric": False},
    "weight_tensor_config": {"num_bits": 8, "granularity": "CHANNELWISE"},
    "compute_precision": "INTEGER",
}


def entry(operation="*", config=WEIGHT_ONLY, algorithm="min_max_uniform_quantize", **fields):
    return {
        "regex": ".*",
        "operation": operation,
        "algorithm_key": algorithm,
        "op_config": config,
        **fields,
    }


@pytest.fixture
def compiler_of(tmp_path):
    def made(recipe):
        path = tmp_path / "recipe.json"
        path.write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
        return TFLiteCompiler(compiled_model_path=tmp_path / "out" / "m.tflite", recipe=path)

    return made


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ([entry()], {"int8": CONVOLUTIONS + FULLY_CONNECTED}),
        (
            [entry("FULLY_CONNECTED")],
            {"int8": FULLY_CONNECTED, "float32": CONVOLUTIONS},
        ),
        (
            [entry("CONV_2D", FOUR_BITS), entry("FULLY_CONNECTED")],
            {"int4": CONVOLUTIONS, "int8": FULLY_CONNECTED},
        ),
        # Later entries win.
        (
            [entry(), entry("CONV_2D", algorithm="no_quantize", regex="conv")],
            {"int8": FULLY_CONNECTED, "float32": CONVOLUTIONS},
        ),
        (
            [entry("FULLY_CONNECTED", HALF, "float_casting")],
            {"float16": FULLY_CONNECTED, "float32": CONVOLUTIONS},
        ),
    ],
)
def test_each_operation_becomes_what_the_recipe_says(compiler_of, recipe, expected):
    compiler = compiler_of(recipe)
    weights = compiler.compile(TFLiteFile(model_path=DIGITS), None).weights
    assert expected == weights.elements
    assert compiler.quantizes == (weights.quantized_share > 0)


def test_a_recipe_that_calibrates_gives_a_model_that_runs(compiler_of, digits):
    compiler = compiler_of([entry(config=STATIC)])
    artifact = compiler.compile(TFLiteFile(model_path=DIGITS), digits)
    assert 1 == artifact.weights.quantized_share
    types = Flatbuffer.read(artifact.path, "test").input_and_output_types()
    assert (["int8"], ["int8"]) == types
    runtime = TFLiteRuntime()
    runtime.prepare()
    (inputs,), (outputs,) = runtime.load(artifact.path, 1)
    test = digits.load(digits.split().test[:50])
    right = 0
    for values, truth in zip(test.inputs[0], test.truth, strict=True):
        runtime.set_inputs([inputs.quantize(values[None])])
        runtime.run()
        right += int(runtime.get_outputs()[0].argmax() == truth)
    assert right >= 45
    assert outputs.quantized


def test_a_keras_model_goes_through_float32(compiler_of, keras_file, digits):
    model = KerasFile(model_path=keras_file)
    assert {"int8": 640} == compiler_of([entry()]).compile(model, None).weights.elements
    with pytest.raises(CompilationError, match="calibrates, which it can for .tflite .* first"):
        compiler_of([entry(config=STATIC)]).compile(model, digits)


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        ("[", OptionError, "is no JSON"),
        ({}, OptionError, "must be a list of entries, got {}"),
        ([], OptionError, r"must be a list of entries, got \[\]"),
        (["int8"], OptionError, "Entry 1 of .*recipe.json must be an object, got 'int8'"),
        ([entry(), {"regex": ".*"}], OptionError, "Entry 2 .* must have 'operation'.* got None"),
        ([entry(regex=5)], OptionError, "'regex', a text, got 5"),
        ([entry(regex="(")], OptionError, "Entry 1 .*unterminated subpattern"),
        ([entry(bits=8)], OptionError, "unknown 'bits'"),
        ([entry(config=None)], OptionError, "'op_config', an object, got None"),
        ([entry("FULY_CONNECTED")], OptionError, "did you mean 'FULLY_CONNECTED'"),
        ([entry(algorithm="magic")], OptionError, "Unsupported algorithm key: magic"),
        ([entry(config={"num_bits": 8})], OptionError, "weight_tensor_config"),
        (
            [entry("CONV_2D", {**WEIGHT_ONLY, "weight_tensor_config": {"num_bits": 3}})],
            OptionError,
            "Entry 1 .*CONV_2D",
        ),
        ([entry(regex="nowhere")], CompilationError, "integer weights|matches nothing"),
        ([entry("LOGISTIC", HALF, "float_casting")], OptionError, "LOGISTIC"),
        ([entry(algorithm="no_quantize")], CompilationError, "matches nothing in .*digits"),
    ],
)
def test_a_recipe_that_is_not_usable_says_why(compiler_of, recipe, error, message):
    compiler = compiler_of(recipe)
    with pytest.raises(error, match=message):
        compiler.compile(TFLiteFile(model_path=DIGITS), None)
    assert not compiler.compiled_model_path.exists()


def test_a_recipe_that_is_missing_is_named(tmp_path):
    compiler = TFLiteCompiler(compiled_model_path=tmp_path / "m", recipe=tmp_path / "no.json")
    with pytest.raises(OptionError, match=r"no\.json cannot be read: No such file"):
        compiler.compile(TFLiteFile(model_path=DIGITS), None)


def test_a_recipe_stands_alone(tmp_path):
    with pytest.raises(OptionError, match="target must be default, got 'int8'"):
        TFLiteCompiler(compiled_model_path=tmp_path, target="int8", recipe=tmp_path / "r.json")


def test_another_content_of_the_recipe_is_another_result(compiler_of, digits):
    model = TFLiteFile(model_path=DIGITS)
    before = ingredients_of(compiler_of([entry()]), model, digits)
    now = ingredients_of(compiler_of([entry("CONV_2D")]), model, digits)
    assert {"content of compiler.recipe"} == {name for name in now if now[name] != before[name]}
