"""LiteRT files with loops: named, never counted in part."""

import pytest

from edge_tester.core.analysis import analyze, fit
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    import tensorflow

    weights = [[0.1] * 8] * 8

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((1, 8), tensorflow.float32)])
    def repeated(values):
        def goes_on(count, one):
            return count < tensorflow.cast(tensorflow.reduce_sum(one), tensorflow.int32)

        def step(count, one):
            return count + 1, tensorflow.matmul(one, tensorflow.constant(weights))

        return tensorflow.while_loop(goes_on, step, (0, values))[1]

    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions(
        [repeated.get_concrete_function()]
    )
    path = tmp_path_factory.mktemp("loop") / "loop.tflite"
    path.write_bytes(converter.convert())
    return TFLiteFile(model_path=path).graph()


def test_a_loop_makes_every_total_one_at_least(loop):
    found = analyze(loop)
    assert found.incomplete
    assert "WHILE" in [one.kind for one in found.layers if one.macs is None]
    assert found.macs_text.startswith("at least ")


def test_a_model_with_a_loop_is_never_said_to_fit(loop):
    assert "undecided" == fit(loop, flash_bytes=2**30, sram_bytes=2**30).verdict
