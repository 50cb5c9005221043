"""Models of PyTorch: a network that Python code builds, and a file with its weights."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.compresses import Compressed, Compresses, Compression
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError, ModelError, OptionError
from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.core.inspects import Inspects, Tensor
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.core.options import state
from edge_tester.core.system.files import atomic_path
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.modelwrappers.frameworks import torch_compression, torch_layers, torch_training
from edge_tester.modelwrappers.frameworks.torch_graph import exported_graph
from edge_tester.modelwrappers.frameworks.torch_networks import (
    changed_by_a_run,
    flattened,
    is_plain,
    named_outputs,
    write_onnx,
)
from edge_tester.modelwrappers.frameworks.training import (
    Stage,
    final_metrics,
    one_line,
    require_existing,
    require_training_split,
    shuffled_batches,
)


class TorchModel(Graphs, Inspects, Compresses, ModelWrapper):
    """A subclass must build its network and say the shapes that it takes.

    The network takes one tensor per input, and gives tensors, alone or in lists,
    tuples and dictionaries; the model file is its state dict.
    """

    packages = ("torch",)
    distributions = ("torch",)
    file_format: ClassVar[str] = "torch"
    """Format of the file: a state dict, whatever its suffix."""
    dynamic_batch: ClassVar[bool] = True
    """Whether exports leave the batch dimension open; if not, it becomes 1."""
    label_smoothing: ClassVar[float] = 0.0
    """Part of the truth that is spread over all classes while training a classifier."""

    network: Any = state()

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of one sample per input, without the batch; all are float32."""
        raise NotImplementedError

    @property
    def input_specs(self) -> list[TensorSpec]:
        """Specs of the inputs, the batch left open."""
        return [
            TensorSpec(f"input_{index}", (None, *shape), "float32")
            for index, shape in enumerate(self.input_shapes)
        ]

    def build(self) -> Any:
        """Return a new, untrained network that gives logits or values."""
        raise NotImplementedError

    def stages(self, plan: TrainingPlan) -> Iterator[Stage]:
        """Yield the stages of a training; the network may be changed before each."""
        yield Stage(plan.num_epochs, plan.learning_rate)

    @property
    def format(self) -> str:
        """A state dict, whatever its suffix."""
        return self.file_format

    def load(self) -> None:
        """Build the network and load its state dict; no code from the file is run."""
        if self.network is not None:
            return
        weights = self.read_weights(self.model_path)
        network = self.build()
        try:
            network.load_state_dict(weights)
        except Exception as error:
            raise ModelError(
                f"{self.model_path} is no state dict of {type(self).__name__}: {one_line(error)}"
            ) from error
        self.network = network.eval()

    def read_weights(self, path: Path) -> dict[str, Any]:
        """Return a state dict; no code from the file is run.

        Raises
        ------
        ModelError
            The file is missing, or holds anything else.
        """
        require_existing(path)
        torch = backend("torch", self)
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # PyTorch's own text advises to run whatever code is in the file.
            raise ModelError(
                f"{path} is no PyTorch file, or holds more than tensors; a state dict is needed."
            ) from error
        except Exception as error:
            raise ModelError(f"{path} is no PyTorch state dict: {one_line(error)}") from error
        for key in ("state_dict", "model_state_dict", "model"):
            # What trainings save beside the optimizer's state and the epoch.
            if isinstance(weights, dict) and isinstance(weights.get(key), dict):
                weights = weights[key]
        if not isinstance(weights, dict):
            raise ModelError(
                f"{path} is no PyTorch state dict: it holds a {type(weights).__name__}."
            )
        return weights

    def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the specs with an open batch dimension; runs the network once."""
        specs = self.input_specs
        zeros = [np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in specs]
        outputs = self._answers(zeros, apart=True)
        return (
            specs,
            [
                TensorSpec(name, (None, *output.shape[1:]), str(output.dtype))
                for name, output in outputs.items()
            ],
        )

    def precision(self) -> str:
        """Tell by the types of the weights."""
        torch = backend("torch", self)
        found = {value.dtype for value in self.loaded(self.network).state_dict().values()}
        return "float16" if found & {torch.float16, torch.bfloat16} else "float32"

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the network once in PyTorch.

        Raises
        ------
        InputError
            The inputs do not fit the model.
        """
        return list(self._answers(self._fitting(inputs)).values())

    def inspect(self, inputs: Sequence[Array]) -> list[Tensor]:
        """Run the network with a hook on each module."""
        network, torch = self.loaded(self.network), backend("torch", self)
        return torch_layers.inspect(torch, network, self.input_specs, self._fitting(inputs))

    def state_names(self) -> list[str]:
        """Return the buffers and attributes of the loaded network that a run changes.

        Files that say what a network computes, but not what it keeps, would lose them.
        """
        torch = backend("torch", self)
        # A single sample, which a state of any shape takes.
        inputs = tuple(one[:1] for one in self.examples(torch.rand))
        return changed_by_a_run(torch, self.loaded(self.network), inputs)

    def save(self, path: Path) -> None:
        """Save the state dict."""
        network = self.loaded(self.network)
        # As a path, its random name would become part of the content.
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            backend("torch", self).save(network.state_dict(), file)

    def save_to_onnx(self, path: Path) -> None:
        """Export by torch.export into one file, weights included.

        Raises
        ------
        ModelError
            The network keeps a state, which the file would lose.
        """
        inputs, outputs = self.specs()
        self.require_no_state("an ONNX file")
        shapes = self._dynamic_shapes()
        names = [spec.name for spec in inputs], [spec.name for spec in outputs]
        write_onnx(self, self._exported_network(), self.examples(), path, names, shapes)

    def export(self) -> Any:
        """Return the network as ``torch.export.ExportedProgram``, for compilers."""
        network = self._exported_network()
        torch = backend("torch", self)
        shapes = self._dynamic_shapes()
        with quiet():
            return torch.export.export(network, self.examples(), dynamic_shapes=shapes)

    def graph(self, batch_size: int | None = None, shapes: Sequence[Shape] = ()) -> Graph:
        """Return the graph of the exported network."""
        self.load()
        own = tuple(spec.shape[1:] for spec in self.input_specs)
        if shapes and tuple(shapes) != own:
            raise OptionError(
                f"{type(self).__name__} takes samples of {own}, got {tuple(shapes)}; a network's "
                "own option says which."
            )
        return exported_graph(self, self.export, batch_size)

    def train(self, dataset: Dataset, plan: TrainingPlan) -> dict[str, float]:
        """Train a new network with Adam and save it to ``model_path``."""
        split = require_training_split(self, dataset)
        torch = backend("torch", self)
        generator = np.random.default_rng(plan.seed)
        # The caller's own random numbers stay as they were.
        with torch.random.fork_rng(devices=[]), self._log(plan) as log:
            torch.manual_seed(plan.seed)
            self.network = self.build()
            specs, _ = self.specs()
            dataset.bind(specs)
            supervised = torch_training.supervised(torch, dataset.task, self.label_smoothing)
            loss, epoch = float("nan"), 0
            for stage in self.stages(plan):
                for loss in torch_training.learn(
                    torch,
                    self.network,
                    stage,
                    lambda: self.batches(dataset, split.train, plan.batch_size, generator),
                    supervised,
                    lambda _: self.network.train(),
                ):
                    log(epoch, loss)
                    epoch += 1
        self.network.eval()
        self.save(self.model_path)
        return final_metrics(self, dataset, split, loss)

    def batches(
        self, dataset: Dataset, indices: Array, size: int, generator: np.random.Generator
    ) -> Iterator[tuple[Samples, list[Array]]]:
        """Load samples once, in random order, and as the network takes them."""
        specs = self.input_specs
        for samples in shuffled_batches(dataset, indices, size, generator):
            yield samples, self.preprocess(samples.inputs, specs)

    def compress(self, dataset: Dataset, compression: Compression, output: Path) -> Compressed:
        """Prune, train on, set zeros and quantize, as far as asked for."""
        return torch_compression.compressed(self, dataset, compression, output)

    @contextlib.contextmanager
    def _log(self, plan: TrainingPlan) -> Iterator[Any]:
        writer: Any = None
        if plan.logdir is not None:
            backend("tensorboard", self)
            writer = backend("torch.utils.tensorboard", self).SummaryWriter(str(plan.logdir))

        def log(epoch: int, loss: float) -> None:
            if writer is not None:
                writer.add_scalar("epoch_loss", loss, epoch)
            if sys.stdout.isatty():
                print(f"Epoch {epoch + 1}/{plan.num_epochs} - loss: {loss:.4f}")

        try:
            yield log
        finally:
            if writer is not None:
                writer.close()

    def _fitting(self, inputs: Sequence[Array]) -> list[Array]:
        self.loaded(self.network)
        specs = self.input_specs
        if len(inputs) != len(specs):
            raise InputError(f"{type(self).__name__} takes {len(specs)} inputs, got {len(inputs)}.")
        return [spec.conform(values) for spec, values in zip(specs, inputs, strict=True)]

    def _answers(self, inputs: Sequence[Array], apart: bool = False) -> dict[str, Array]:
        """Return the outputs by name: the keys of a dictionary, or output_0, output_1 and so on."""
        network = self.loaded(self.network)
        torch = backend("torch", self)
        was_training = network.training
        network.eval()
        # Looking at the outputs must not move on what the network keeps from run to run.
        buffers = {n: b.clone() for n, b in network.named_buffers()} if apart else {}
        with torch.inference_mode():
            # as_tensor shares memory, so read-only inputs are copied.
            tensors = tuple(torch.tensor(values) for values in inputs)
            answers = torch.func.functional_call(network, buffers, tensors)
        network.train(was_training)
        return {
            name: answer.numpy() for name, answer in named_outputs(torch, answers, self).items()
        }

    def _exported_network(self) -> Any:
        """Return the network, with its outputs in a plain list where it names or nests them."""
        torch = backend("torch", self)
        network = self.loaded(self.network)
        with torch.inference_mode():
            answers = copy.deepcopy(network).eval()(*(one[:1] for one in self.examples()))
        return network if is_plain(torch, answers) else flattened(torch, network)

    def examples(self, make: Any = None) -> tuple[Any, ...]:
        """Return inputs of two samples, or of the fixed batch, made by zeros or ``make``."""
        torch = backend("torch", self)
        # Two samples: torch.export takes a size of 1 for a fixed one.
        batch = 2 if self.dynamic_batch else 1
        examples = []
        for spec in self.input_specs:
            shape, dtype = (batch, *spec.shape[1:]), getattr(torch, spec.dtype)
            # Random numbers are below 1: as integers they are zeros, which every table has.
            examples.append((make or torch.zeros)(shape).to(dtype))
        return tuple(examples)

    def _dynamic_shapes(self) -> Any:
        if not self.dynamic_batch:
            return None
        batch = backend("torch", self).export.Dim("batch")
        return tuple({0: batch} for _ in self.input_specs)
