"""TensorFlow's models as ONNX files, and back."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.onnxconversion import ModelEntry
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array
from edge_tester.onnxconverters._runtime import RuntimeConversion

IMAGE = (64, 64, 3)
# Name -> member of keras.applications.
_APPLICATIONS = {
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3Small",
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
    "efficientnet_b0": "EfficientNetB0",
    "vgg16": "VGG16",
}


class TensorFlowONNXConversion(RuntimeConversion):
    """Exports Keras models by tf2onnx; imports ONNX files by onnx2tf, to be run by LiteRT."""

    framework = "TensorFlow"
    import_tools = "onnx2tf, LiteRT"
    runtime_name = "tflite"
    compiler_name = "onnx2tf"

    def models(self) -> Sequence[ModelEntry]:
        """Return the models with random weights from a fixed seed."""
        built: dict[str, Callable[[Any], Any]] = {
            "lstm": _lstm,
            "transformer": _transformer,
            "detector": _detector,
        }
        return [
            *(ModelEntry(n, functools.partial(self._application, n)) for n in _APPLICATIONS),
            *(ModelEntry(n, functools.partial(self._seeded, b)) for n, b in built.items()),
        ]

    def inputs_of(self, model: Any) -> list[Array]:
        """Return images from a fixed seed, or token numbers for an embedding."""
        generator = np.random.default_rng(0)
        shape = (1, *model.inputs[0].shape[1:])
        if model.inputs[0].dtype == "int32":
            return [generator.integers(0, 100, shape, np.int32)]
        return [generator.random(shape, np.float32)]

    def run(self, model: Any, inputs: Sequence[Array]) -> list[Array]:
        """Run a Keras model or an imported one once."""
        if isinstance(model, Runtime):
            return super().run(model, inputs)
        answers = model.predict_on_batch(inputs[0])
        return [np.asarray(one) for one in (answers if isinstance(answers, list) else [answers])]

    def export_model(self, model: Any, path: Path) -> None:
        """Write one file; the batch dimension stays open."""
        backend("tf2onnx", self)
        with quiet(), warnings.catch_warnings():
            # Where tf2onnx asks for a name that numpy no longer has.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            # Keras exports only what was called.
            model(model.inputs[0])
            model.export(path, format="onnx", verbose=False)

    def _application(self, name: str) -> Any:
        def build(keras: Any) -> Any:
            make = getattr(keras.applications, _APPLICATIONS[name])
            # Logits: probabilities of an untrained network are all alike.
            return make(weights=None, input_shape=IMAGE, classes=10, classifier_activation=None)

        return self._seeded(build)

    def _seeded(self, build: Callable[[Any], Any]) -> Any:
        keras = backend("tensorflow", self).keras
        keras.utils.set_random_seed(0)
        model = build(keras)
        layers = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
        for layer in layers:
            layer.momentum = 0.0
        if layers:
            # Statistics of a batch: without, deep signals vanish, and what is left
            # of the input in the output is too little to compare.
            model(np.random.default_rng(1).random((8, *IMAGE), np.float32), training=True)
        return model


def _lstm(keras: Any) -> Any:
    """Two layers, the first in both directions."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 16)),
            layers.Bidirectional(layers.LSTM(32, return_sequences=True)),
            layers.LSTM(32),
            layers.Dense(10),
        ]
    )


def _transformer(keras: Any) -> Any:
    """Source: A. Vaswani et al., NeurIPS 2017, section 3.1, without positions."""
    layers = keras.layers
    tokens = keras.Input((16,), dtype="int32")
    values = layers.Embedding(100, 32)(tokens)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 8)(values, values)
        values = layers.LayerNormalization()(values + attended)
        hidden = layers.Dense(32)(layers.Dense(64, activation="relu")(values))
        values = layers.LayerNormalization()(values + hidden)
    return keras.Model(tokens, layers.Dense(10)(layers.GlobalAveragePooling1D()(values)))


def _detector(keras: Any) -> Any:
    """Two feature maps, each with boxes and scores. Source: W. Liu et al., ECCV 2016."""
    layers = keras.layers
    image = keras.Input(IMAGE)
    values, boxes, scores = image, [], []
    for channels in (16, 32, 64):
        values = layers.Conv2D(channels, 3, 2, "same", activation="relu")(values)
        if channels > 16:
            boxes.append(layers.Reshape((-1, 4))(layers.Conv2D(12, 3, padding="same")(values)))
            scores.append(layers.Reshape((-1, 5))(layers.Conv2D(15, 3, padding="same")(values)))
    joined = layers.Concatenate(axis=1)
    return keras.Model(image, [joined(boxes), layers.Softmax()(layers.Concatenate(axis=1)(scores))])
