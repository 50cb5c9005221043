"""Models of TensorFlow: Keras files and SavedModel folders."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.formats import FORMATS, format_of
from edge_tester.core.inspects import Inspects, Tensor
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.core.options import state
from edge_tester.core.system.files import atomic_path
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.modelwrappers.frameworks import keras2, keras_layers
from edge_tester.modelwrappers.frameworks.training import (
    Stage,
    final_metrics,
    require_existing,
    require_training_split,
    shuffled_batches,
)


class KerasModel(Inspects, ModelWrapper):
    """A subclass must build its network, if it is to be trained.

    Working attributes: ``network`` is the Keras model. A SavedModel has none any
    more; ``restored`` is what was read, ``signature`` its serving function.
    """

    packages = ("tensorflow",)
    distributions = ("tensorflow", "tensorflow-cpu", "keras")

    label_smoothing: ClassVar[float] = 0.0
    """Part of the truth that is spread over all classes while training a classifier."""

    sample_shapes: ClassVar[tuple[tuple[int, ...], ...] | None] = None
    """Shapes of one sample of all inputs and outputs, if files of others are refused."""

    network: Any = state()
    restored: Any = state()
    signature: Any = state()

    def build(self) -> Any:
        """Return a new, untrained Keras model that gives logits or values."""
        raise ModelError(f"{type(self).__name__} cannot train: it only reads a given file.")

    def stages(self, plan: TrainingPlan) -> Iterator[Stage]:
        """Yield the stages of a training; the network may be changed before each."""
        yield Stage(plan.num_epochs, plan.learning_rate)

    @property
    def format(self) -> str:
        """Format by suffix; no suffix stands for a SavedModel folder."""
        return self._format_of(self.model_path)

    def load(self) -> None:
        """Load the Keras file or the SavedModel folder."""
        if self.network is not None or self.signature is not None:
            return
        require_existing(self.model_path)
        format = self.format
        tensorflow = backend("tensorflow", self)
        try:
            if format == "savedmodel":
                self._restore(tensorflow)
            else:
                self.network = self._loaded_network(tensorflow)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self.model_path} is no model that Keras can load: {keras2.reason(error)}"
            ) from error
        self._require_sample_shapes()

    def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the specs; the batch dimension is open unless the model fixes it.

        Those of a SavedModel are in the order of their names: the file keeps none, and reads
        in another order in every process.
        """
        if self.signature is not None:
            _, inputs = self.signature.structured_input_signature
            outputs = self.signature.structured_outputs
            return (
                [_spec(name, inputs[name]) for name in sorted(inputs)],
                [_spec(name, outputs[name]) for name in sorted(outputs)],
            )
        network = self.loaded(self.network)
        return (
            [_spec(tensor.name, tensor) for tensor in network.inputs],
            # Keras numbers its outputs anew in every process; a SavedModel's names last.
            [_spec(f"output_{index}", tensor) for index, tensor in enumerate(network.outputs)],
        )

    def precision(self) -> str:
        """Tell whether any layer computes in half precision; of a SavedModel, any variable."""
        if self.signature is not None:
            found = {str(one.dtype.name) for one in self.signature.graph.variables}
        else:
            layers = self.loaded(self.network)._flatten_layers()
            found = {str(layer.compute_dtype) for layer in layers}
        return "float16" if found & {"float16", "bfloat16"} else "float32"

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once in TensorFlow.

        Raises
        ------
        InputError
            The inputs do not fit the model.
        """
        input_specs, output_specs = self.specs()
        tensorflow = backend("tensorflow", self)
        tensors = self._fitting(inputs)
        if self.signature is not None:
            named = {
                spec.name: tensorflow.constant(values)
                for spec, values in zip(input_specs, tensors, strict=True)
            }
            answers = self.signature(**named)
            return [answers[spec.name].numpy() for spec in output_specs]
        # The compiled graph, as users of Keras run it; eager mode takes seven times as long.
        answers = self.network.predict_on_batch(tensors[0] if len(tensors) == 1 else tensors)
        return [np.asarray(answer) for answer in tensorflow.nest.flatten(answers)]

    def inspect(self, inputs: Sequence[Array]) -> list[Tensor]:
        """Run the layers with all their outputs; a SavedModel has none any more."""
        if self.signature is not None:
            raise ModelError(f"{self.model_path} is a SavedModel, which has no layers any more.")
        network = self.loaded(self.network)
        keras = backend("tensorflow", self).keras
        return keras_layers.inspect(keras, network, self._fitting(inputs))

    def save(self, path: Path) -> None:
        """Save as .keras, .h5 or, without a suffix, as SavedModel folder."""
        if self.signature is not None:
            raise ModelError(
                f"{type(self).__name__} cannot save {self.model_path} again: a SavedModel "
                "cannot be turned back into a Keras model; copy the folder instead."
            )
        network = self.loaded(self.network)
        if self._format_of(path) == "savedmodel":
            with TemporaryFolder() as folder:
                network.export(Path(folder) / "model", format="tf_saved_model", verbose=False)
                shutil.copytree(Path(folder) / "model", path, dirs_exist_ok=True)
            return
        with atomic_path(path) as temporary, _without_legacy_remark():
            network.save(temporary)

    def save_to_onnx(self, path: Path) -> None:
        """Export by tf2onnx, by way of Keras where it can; the batch dimension stays open."""
        with atomic_path(path) as temporary, warnings.catch_warnings():
            # Where tf2onnx asks for a name that numpy no longer has.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            if self.signature is None:
                network = self.loaded(self.network)
                # Keras exports only what was called; a loaded model was not yet.
                network(network.inputs if len(network.inputs) > 1 else network.inputs[0])
                network.export(temporary, format="onnx", verbose=False)
            else:
                self._export_signature(temporary)
            _without_erfc(backend("onnx", self), temporary)

    def train(self, dataset: Dataset, plan: TrainingPlan) -> dict[str, float]:
        """Train a new network with Adam and save it to ``model_path``."""
        split = require_training_split(self, dataset)
        keras = backend("tensorflow", self).keras
        keras.utils.set_random_seed(plan.seed)
        self.network = self.build()
        specs, _ = self.specs()
        dataset.bind(specs)
        classification = dataset.task == "classification"
        callbacks = [] if plan.logdir is None else [keras.callbacks.TensorBoard(plan.logdir)]
        loss, epoch = float("nan"), 0
        for stage in self.stages(plan):
            # Anew in each stage: what may learn is fixed when a network is compiled.
            self.network.compile(
                optimizer=keras.optimizers.Adam(stage.learning_rate),
                loss=self._classification_loss(keras) if classification else "mse",
                metrics=["accuracy"] if classification else [],
            )
            history = self.network.fit(
                self._endless(dataset, split.train, plan),
                steps_per_epoch=-(-len(split.train) // plan.batch_size),
                initial_epoch=epoch,
                epochs=epoch + stage.num_epochs,
                validation_data=self._endless(dataset, split.validation, plan)
                if len(split.validation)
                else None,
                validation_steps=-(-len(split.validation) // plan.batch_size) or None,
                callbacks=callbacks,
                shuffle=False,
                verbose=2 if sys.stdout.isatty() else 0,
            )
            loss, epoch = history.history["loss"][-1], epoch + stage.num_epochs
        self.save(self.model_path)
        return final_metrics(self, dataset, split, loss)

    def _fitting(self, inputs: Sequence[Array]) -> list[Array]:
        specs, _ = self.specs()
        if len(inputs) != len(specs):
            raise InputError(f"{self.model_path} takes {len(specs)} inputs, got {len(inputs)}.")
        return [spec.conform(values) for spec, values in zip(specs, inputs, strict=True)]

    def _require_sample_shapes(self) -> None:
        inputs, outputs = self.specs()
        shapes = tuple(spec.shape[1:] for spec in inputs + outputs)
        if self.sample_shapes not in (None, shapes):
            self.network = self.restored = self.signature = None
            raise ModelError(
                f"{self.model_path} is no model of {type(self).__name__}: it must take and give "
                f"{self.sample_shapes} per sample, got {shapes}."
            )

    def _classification_loss(self, keras: Any) -> Any:
        def loss(truth: Any, logits: Any) -> Any:
            classes = logits.shape[-1]
            wanted = keras.ops.one_hot(keras.ops.reshape(truth, (-1,)), classes)
            return keras.losses.categorical_crossentropy(
                wanted, logits, from_logits=True, label_smoothing=self.label_smoothing
            )

        return loss

    def _endless(self, dataset: Dataset, indices: Array, plan: TrainingPlan) -> Iterator[Any]:
        generator = np.random.default_rng(plan.seed)
        specs, _ = self.specs()
        while True:
            for samples in shuffled_batches(dataset, indices, plan.batch_size, generator):
                inputs = self.preprocess(samples.inputs, specs)
                yield (inputs[0] if len(inputs) == 1 else tuple(inputs)), samples.truth

    def _format_of(self, path: Path) -> str:
        found = "savedmodel" if not path.suffix and not path.exists() else format_of(path)
        if found not in ("keras", "savedmodel"):
            suffixes = [suffix for suffix, format in FORMATS.items() if format == "keras"]
            raise ModelError(
                f"{type(self).__name__} takes {', '.join(suffixes)} and SavedModel folders, "
                f"got {path}."
            )
        return found

    def _export_signature(self, path: Path) -> None:
        tensorflow = backend("tensorflow", self)
        specs, _ = self.specs()
        names = [spec.name for spec in specs]
        tensors = [tensorflow.TensorSpec(spec.shape, spec.dtype, spec.name) for spec in specs]
        # tf2onnx takes a function of tensors in a fixed order, a signature takes names.
        function = tensorflow.function(
            lambda *values: self.signature(**dict(zip(names, values, strict=True))),
            input_signature=tensors,
        )
        tf2onnx = backend("tf2onnx", self)
        tf2onnx.convert.from_function(function, input_signature=tensors, output_path=str(path))

    def _loaded_network(self, tensorflow: Any) -> Any:
        try:
            # Whatever it was compiled with is of no use for inference.
            return tensorflow.keras.models.load_model(self.model_path, compile=False)
        except Exception:
            if self.model_path.is_file() and keras2.is_of_keras_2(self.model_path, self):
                return keras2.loaded(self)
            raise

    def _restore(self, tensorflow: Any) -> None:
        restored = tensorflow.saved_model.load(str(self.model_path))
        if "serving_default" not in restored.signatures:
            raise ModelError(
                f"{self.model_path} has no signature 'serving_default', "
                f"got {', '.join(restored.signatures) or 'none'}."
            )
        # The function alone would not keep its variables alive.
        self.restored = restored
        self.signature = restored.signatures["serving_default"]


def _spec(name: str, tensor: Any) -> TensorSpec:
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return TensorSpec(name, tuple(tensor.shape), str(dtype))


def _without_erfc(onnx: Any, path: Path) -> None:
    """Replace what tf2onnx leaves of GELU and ONNX does not have: erfc(x) = 1 - erf(x)."""
    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    if all(node.op_type != "Erfc" for node in nodes):
        return
    one = onnx.helper.make_tensor("erfc/one", onnx.TensorProto.FLOAT, (), [1.0])
    model.graph.initializer.append(one)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "Erfc":
            error = f"{node.output[0]}/erf"
            model.graph.node.append(onnx.helper.make_node("Erf", node.input, [error]))
            node = onnx.helper.make_node("Sub", [one.name, error], node.output, node.name)
        model.graph.node.append(node)
    onnx.save(model, str(path))


@contextlib.contextmanager
def _without_legacy_remark() -> Iterator[None]:
    """Drop the one remark that HDF5 is a legacy format: the user has chosen it."""

    def wanted(record: logging.LogRecord) -> bool:
        return "saving your model as an HDF5 file" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
