"""Models for microcontrollers, as TensorFlow's converter writes them, in float32 and in int8."""

from __future__ import annotations

from pathlib import Path

from tests.networks import SHAPES, keras_model, samples

PERSON = "person"
"""96 x 96 x 1, three convolutions of 3 x 3 with stride 2 (8, 16, 32 channels), pooled, two out."""


def converted(name: str, folder: Path) -> dict[str, Path]:
    """Return the float32 and the int8 file of a network of :mod:`tests.networks`, or of PERSON."""
    import tensorflow

    keras = tensorflow.keras
    # Names count on through a process, and the converter sorts inputs by them: 10 before 9.
    keras.utils.clear_session()
    if name == PERSON:
        layers = keras.layers
        keras.utils.set_random_seed(0)
        network = keras.Sequential(
            [
                keras.Input((96, 96, 1)),
                *(layers.Conv2D(n, 3, 2, "same", activation="relu") for n in (8, 16, 32)),
                layers.GlobalAveragePooling2D(),
                # The converter leaves out biases that are 0.
                layers.Dense(2, bias_initializer="ones"),
            ]
        )
        shapes = [(96, 96, 1)]
    else:
        network = keras.models.load_model(keras_model(name, folder).model_path)
        shapes = [(*shape[1:], shape[0]) for shape in SHAPES[name]]
    values = samples(shapes, 8)
    found = {}
    for precision in ("float32", "int8"):
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
        if precision == "int8":
            lite = tensorflow.lite
            converter.optimizations = [lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [one[i : i + 1] for one in values] for i in range(8)
            )
            converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        path = folder / f"{name}-{precision}.tflite"
        path.write_bytes(converter.convert())
        found[precision] = path
    return found
