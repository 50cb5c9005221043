import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.errors import OptionError, RuntimeStateError
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests import small_models

# Codes of BuiltinOperator: what the delegate of these tests takes if its option says so.
RESHAPE, MAX_POOL_2D = 22, 17


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A delegate that runs here, without an accelerator."""
    path = tmp_path_factory.mktemp("delegate") / "libmoves.so"
    source = Path(__file__).parent / "delegate.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source], check=True)
    return str(path)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A RESHAPE and a FULLY_CONNECTED."""
    path = tmp_path_factory.mktemp("models") / "fixed.tflite"
    path.write_bytes(small_models.tflite_content(small_models.keras_model(batch=1)))
    return path


def facts_of(model_file, **options):
    """What was really used in a run that gave the right answer."""
    runtime = TFLiteRuntime(**options)
    runtime.prepare()
    runtime.load(model_file, 1)
    values = small_models.sample((8, 8, 1))
    runtime.set_inputs([values])
    runtime.run()
    assert np.allclose(small_models.answer(values), runtime.get_outputs()[0], atol=1e-5)
    return runtime.facts()


def operations(facts):
    names = ("delegated_operations", "xnnpack_operations", "builtin_operations")
    return [facts[name] for name in names]


@pytest.mark.parametrize(
    ("xnnpack", "expected"),
    [
        (True, [{}, {"RESHAPE": 1, "FULLY_CONNECTED": 1}, {}]),
        (False, [{}, {}, {"RESHAPE": 1, "FULLY_CONNECTED": 1}]),
    ],
)
def test_xnnpack_can_be_switched_off(model_file, xnnpack, expected):
    facts = facts_of(model_file, xnnpack=xnnpack)
    assert expected == operations(facts)
    assert xnnpack == facts["xnnpack"]
    # Nobody asked for anything else than the CPU.
    assert "fallback" not in facts


@pytest.mark.parametrize("xnnpack", [True, False])
def test_what_a_delegate_left_to_the_cpu_is_told(library, model_file, xnnpack):
    facts = facts_of(
        model_file,
        delegates_list=(library,),
        delegate_options=(f"operation={RESHAPE}",),
        xnnpack=xnnpack,
    )
    rest = {"FULLY_CONNECTED": 1}
    assert [{"RESHAPE": 1}, *([rest, {}] if xnnpack else [{}, rest])] == operations(facts)
    assert [f"operation={RESHAPE}"] == facts["delegate_options"]
    assert {
        "operations on the CPU": 1,
        "in words": f"partial: 1 of 2 operations went to {library}, the CPU runs 1",
    } == facts["fallback"]


@pytest.mark.parametrize("options", [(), (f"operation={MAX_POOL_2D}",)])
def test_a_delegate_that_took_nothing_is_told(library, model_file, options):
    facts = facts_of(model_file, delegates_list=(library,), delegate_options=options)
    assert {
        "operations on the CPU": 2,
        "in words": f"complete: nothing went to {library}, the CPU runs all 2 operations",
    } == facts["fallback"]


def test_a_delegate_that_took_everything_is_told(library, tmp_path):
    import tensorflow

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 64), tensorflow.float32)])
    def function(x):
        return tensorflow.reshape(x, (1, 8, 8))

    path = tmp_path / "reshape.tflite"
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()]
    )
    path.write_bytes(converter.convert())
    runtime = TFLiteRuntime(delegates_list=(library,), delegate_options=(f"operation={RESHAPE}",))
    runtime.prepare()
    runtime.load(path, 1)
    fallback = runtime.facts()["fallback"]
    assert 0 == fallback["operations on the CPU"]
    assert f"none: all 1 operations went to {library}" == fallback["in words"]
    values = small_models.sample((64,))
    runtime.set_inputs([values])
    runtime.run()
    assert np.array_equal(values.reshape(1, 8, 8), runtime.get_outputs()[0])


def test_an_option_that_the_delegate_does_not_know(library):
    runtime = TFLiteRuntime(delegates_list=(library,), delegate_options=("device=usb",))
    with pytest.raises(RuntimeStateError, match="it has no such option"):
        runtime.prepare()


def test_options_must_be_pairs_and_belong_to_a_delegate():
    for wrong in ("usb", "=usb", ""):
        with pytest.raises(OptionError, match=f"delegate_options must be KEY=VALUE, got '{wrong}'"):
            TFLiteRuntime(delegates_list=("libany.so",), delegate_options=(wrong,))
    with pytest.raises(OptionError, match="delegates_list, which names none"):
        TFLiteRuntime(delegate_options=("device=usb",))
    # A value may be empty and may have an equals sign.
    TFLiteRuntime(delegates_list=("libany.so",), delegate_options=("path=a=b", "empty="))


@pytest.mark.parametrize(
    ("library", "needs"),
    [
        ("libedgetpu.so.1", "Coral Edge TPU .* libedgetpu1-std"),
        ("/opt/lib/libtensorflowlite_gpu_delegate.so", "OpenCL"),
        ("libnnapi_delegate.so", "Android"),
        ("libhexagon_delegate.so", "Qualcomm"),
        ("libQnnTFLiteDelegate.so", "Qualcomm"),
        ("libcoreml_delegate.dylib", "Apple"),
        ("libvx_delegate.so", "VeriSilicon"),
        ("libethosu_delegate.so", "Ethos-U"),
        ("libarmnnDelegate.so", "Arm NN"),
    ],
)
def test_a_missing_delegate_names_the_platform_it_needs(library, needs):
    with pytest.raises(RuntimeStateError, match=f"cannot be loaded .* It needs .*{needs}"):
        TFLiteRuntime(delegates_list=(library,)).prepare()


def test_a_missing_delegate_that_nobody_knows_needs_nothing():
    with pytest.raises(RuntimeStateError) as caught:
        TFLiteRuntime(delegates_list=("/gpu/libother.so",)).prepare()
    assert "It needs" not in str(caught.value)
