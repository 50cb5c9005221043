"""The phases of a compression of a PyTorch model, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend, version
from edge_tester.core.compresses import Compressed, Compression, Phase
from edge_tester.core.dataset import Dataset, Split
from edge_tester.core.errors import DatasetError, ModelError, OptionError
from edge_tester.core.making.chain import wrapper_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import options_of
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.system import torchprograms
from edge_tester.core.system.files import atomic_path
from edge_tester.core.system.quiet import quiet
from edge_tester.modelwrappers.frameworks import torch_pruning, torch_training
from edge_tester.modelwrappers.frameworks.torch_quantizing import QuantizedTraining
from edge_tester.modelwrappers.frameworks.torch_sparsity import REMARK, Zeros
from edge_tester.modelwrappers.frameworks.training import Stage, require_training_split

if TYPE_CHECKING:
    from edge_tester.modelwrappers.frameworks.pytorch import TorchModel

_FORMAT = "torch-exported"
_TEMPERATURE = 4.0
# Batches whose gradients say how much a channel matters.
_GRADIENT_BATCHES = 16
_DISTRIBUTIONS = ("torch", "torch-pruning", "torchao", "executorch")


def compressed(
    model: TorchModel, dataset: Dataset, compression: Compression, output: Path
) -> Compressed:
    """Do what :meth:`edge_tester.core.compresses.Compresses.compress` promises."""
    if output.suffix != ".pt2":
        raise OptionError(f"A compressed model is a .pt2 file, got {output}.")
    network = model.loaded(model.network)
    split = require_training_split(model, dataset)
    if len(split.validation) == 0:
        raise DatasetError(
            f"{type(dataset).__name__} has no validation split to tell the quality from; "
            "validation_fraction must be above 0."
        )
    if compression.temperature is not None and dataset.task != "classification":
        raise OptionError(
            f"Compression.temperature is only for classifiers, got {compression.temperature} for "
            f"{dataset.task}."
        )
    with torch_training.reproducible(model, compression.seed, compression.training_threads):
        model.require_no_state("a compression")
        work = _Compression(model, dataset, split, compression)
        program = work.done()
        content = torchprograms.content_of(program, model)
        with atomic_path(output) as temporary:
            temporary.write_bytes(content)
            wrapper = _wrapper(model, dataset, split, temporary)
            after = evaluate(wrapper, dataset, split.validation)
        before = evaluate(model, dataset, split.validation)
    phases = work.phases
    if compression.qat:
        phases.append(Phase(name="qat", losses=work.losses_quantized, quality=after))
    made = Artifact.from_file(output, _FORMAT)
    examples = model.examples()
    options = {**wrapper.chosen_options(), "model_path": str(output)}
    return Compressed(
        path=output,
        format=_FORMAT,
        wrapper=options,
        sha256=made.sha256,
        weights_sha256=torchprograms.digest_of(program),
        size_bytes=made.size_bytes,
        source_sha256=model.artifact().sha256,
        options=compression.to_options(),
        parameters_before=torch_pruning.parameters(network),
        parameters_after=torch_pruning.parameters(work.network),
        macs_before=torch_pruning.macs(network, examples, model),
        macs_after=torch_pruning.macs(work.network, examples, model),
        zeros_share=_zeros(program),
        layers=torch_pruning.layers(network, work.network),
        quality_before=before,
        quality_after=after,
        phases=tuple(phases),
        seed=compression.seed,
        loader_seed=compression.loader_seed,
        threads=compression.training_threads,
        tool_versions={name: found for name in _DISTRIBUTIONS if (found := version(name))},
        remarks=(REMARK,) if compression.sparsity != "none" else (),
    )


class _Compression:
    """One compression as it goes on: a copy of the network, and what was done to it."""

    def __init__(
        self, model: TorchModel, dataset: Dataset, split: Split, compression: Compression
    ) -> None:
        self._torch = backend("torch", model)
        self._dataset, self._split, self._options = dataset, split, compression
        # Fed as the model is, and its network is another.
        self._student = copy.copy(model)
        self._student.network = copy.deepcopy(model.network)
        self._generator = np.random.default_rng(compression.loader_seed)
        self.phases: list[Phase] = []
        self.losses_quantized: tuple[float, ...] = ()
        smoothing, task = model.label_smoothing, dataset.task
        dataset.bind(model.input_specs)
        if compression.distill:
            self._loss = torch_training.distilled(
                self._torch,
                task,
                smoothing,
                copy.deepcopy(model.network).eval(),
                compression.distill,
                compression.temperature or _TEMPERATURE,
            )
        else:
            self._loss = torch_training.supervised(self._torch, task, smoothing)

    @property
    def network(self) -> Any:
        """The copy, pruned and trained as far as it has come."""
        return self._student.network

    def done(self) -> Any:
        """Go through all phases; return the program."""
        options = self._options
        if options.pruning:
            self._prune()
        zeros = None
        if options.sparsity != "none":
            zeros = Zeros(self.network, options, self._student)
            self._end("sparsify")
        if zeros is not None or not options.pruning:
            self._finetune("finetune", zeros.apply if zeros else lambda: None)
        self.network.eval()
        if options.qat:
            return self._quantized()
        return self._student.export()

    def _prune(self) -> None:
        examples = self._student.examples()
        pruner = torch_pruning.Pruner(self.network, examples, self._options, self._student)
        for step in range(1, self._options.steps + 1):
            if self._options.importance == "taylor":
                self._collect_gradients()
            pruner.step()
            self._end(f"prune {step}")
            self._finetune(f"finetune {step}")

    def _collect_gradients(self) -> None:
        """Leave the gradients of some batches in the network, as sums."""
        self.network.eval().zero_grad(set_to_none=True)
        supervised = torch_training.supervised(self._torch, self._dataset.task, 0.0)
        for number, (samples, inputs) in enumerate(self._batches()):
            if number == _GRADIENT_BATCHES:
                break
            supervised(self.network, inputs, samples.truth).backward()

    def _finetune(self, name: str, after_step: Callable[[], None] = lambda: None) -> None:
        if not self._options.finetune_epochs:
            return
        losses = torch_training.learn(
            self._torch,
            self.network,
            Stage(self._options.finetune_epochs, self._options.learning_rate),
            self._batches,
            self._loss,
            lambda _: self.network.train(),
            after_step,
        )
        self._end(name, tuple(losses))

    def _quantized(self) -> Any:
        program = self._student.export()
        self.network.train()
        with quiet():
            quantized = QuantizedTraining(self._student.export(), self._student)
        self.network.eval()

        def before_epoch(epoch: int) -> None:
            quantized.train()
            if epoch >= self._options.freezes_after:
                quantized.freeze()

        with quiet():
            self.losses_quantized = tuple(
                torch_training.learn(
                    self._torch,
                    quantized.network,
                    Stage(self._options.epochs_quantized, self._options.rate_quantized),
                    self._batches,
                    self._loss,
                    before_epoch,
                )
            )
            made = self._torch.export.export(
                quantized.converted(),
                program.example_inputs[0],
                dynamic_shapes=torchprograms.open_sizes(program, self._student),
            )
        return made

    def _batches(self) -> Iterator[Any]:
        return self._student.batches(
            self._dataset, self._split.train, self._options.batch_size, self._generator
        )

    def _end(self, name: str, losses: tuple[float, ...] = ()) -> None:
        """Note what a phase did."""
        self.network.eval()
        quality = evaluate(self._student, self._dataset, self._split.validation)
        self.phases.append(Phase(name=name, losses=losses, quality=quality))


def _wrapper(model: TorchModel, dataset: Dataset, split: Split, path: Path) -> ModelWrapper:
    """Return the file in a wrapper that feeds it as the model is fed.

    Raises
    ------
    ModelError
        No options of the wrapper say what the model does to its samples.
    """
    scaling = model.scaling()
    kind = type(wrapper_of(path, _FORMAT))
    own = {one.name for one in options_of(type(model))} - {"model_path"}
    shared = {one.name: getattr(model, one.name) for one in options_of(kind) if one.name in own}
    if scaling is not None:
        wrapper = wrapper_of(path, _FORMAT, {**shared, **scaling})
        wrapper.load()
        samples = next(iter(dataset.batches(split.validation[:4], 4)))
        wanted = model.preprocess(samples.inputs, model.input_specs)
        given = wrapper.preprocess(samples.inputs, model.input_specs)
        if all(np.allclose(a, b, atol=1e-4) for a, b in zip(wanted, given, strict=True)):
            return wrapper
    raise ModelError(
        f"{type(model).__name__} cannot be compressed to a file of its own: what its preprocess "
        "does to the samples cannot be said by input_scale, input_mean and input_std. Let "
        "scaling() tell it, or scale the samples in the data set."
    )


def _zeros(program: Any) -> float:
    weights = [t for t in torchprograms.tensors_of(program).values() if t.ndim > 1]
    zeros = sum(int((one == 0).sum()) for one in weights)
    return zeros / max(1, sum(int(one.numel()) for one in weights))
