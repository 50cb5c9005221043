"""The host's side of a benchmark: deploy, feed, evaluate, record."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import platform
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.batches import Batch, filled, per_sample, same_tensors
from edge_tester.core.chain import compile_model
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError, ModelError, TargetError
from edge_tester.core.interrupts import uninterrupted
from edge_tester.core.machine import describe_machine
from edge_tester.core.measurements import (
    ColdStart,
    Component,
    Cpu,
    Latency,
    Machine,
    Memory,
    ModelFacts,
    Predictions,
    RunRecord,
)
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.outputs import OutputFiles
from edge_tester.core.payloads import Hello, Statistics, Welcome
from edge_tester.core.quality import accumulator_for
from edge_tester.core.readahead import read_ahead
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import Answer, RuntimeProtocol
from edge_tester.core.tensors import Array, TensorSpec

# A pause between two inferences lets caches and branch predictors go cold, which was
# seen to add up to 0.03 ms to an inference: above this time, less than one percent.
_WARMED_BELOW_NS = 5_000_000


class Measurement(Configurable):
    """How the host conducts a measurement."""

    conversation: str = option(
        "flight",
        choices=("flight", "classical"),
        help="Send the requests of a sample together, or one after another",
    )
    pace: str = option(
        "loop",
        choices=("loop", "isolated"),
        help="Time an inference as one of a loop, with warm caches, or as the first after a pause",
    )
    wait: bool = option(False, help="Wait in line while another client uses the target")
    outputs_directory: Path | None = option(
        None, help="Folder for the raw outputs of every sample, one .npy file per output"
    )


class Observer:
    """Hears how a run goes on; does nothing by itself."""

    def begin(self, what: str, total: int, unit: Literal["bytes", "samples"]) -> None:
        """Hear that a phase begins."""

    def advance(self, count: int) -> None:
        """Hear that a part of the phase is done."""

    def tell(self, text: str) -> None:
        """Hear something worth showing."""


class HostRun:
    """One benchmark, from a model to a run record.

    Parameters
    ----------
    name : str
        Name of the record.
    model : ModelWrapper
    dataset : Dataset
    protocol : RuntimeProtocol
        Not connected.
    runtime : Runtime
        Which runtime the target shall use, and the options that the client sets.
    compiler : ModelCompiler, optional
        Without one the model file is deployed as it is.
    measurement : Measurement, optional
    observer : Observer, optional
    command_line : sequence of str
        For the record.
    artifact : Artifact, optional
        What the compiler has made of the model before; without it, it does so now.
    """

    def __init__(
        self,
        name: str,
        model: ModelWrapper,
        dataset: Dataset,
        protocol: RuntimeProtocol,
        runtime: Runtime,
        compiler: ModelCompiler | None = None,
        measurement: Measurement | None = None,
        observer: Observer | None = None,
        command_line: Sequence[str] = (),
        artifact: Artifact | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._dataset = dataset
        self._protocol = protocol
        self._runtime = runtime
        self._compiler = compiler
        self._measurement = measurement or Measurement()
        self._observer = observer or Observer()
        self._command_line = list(command_line)
        self._created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._artifact = artifact
        self._welcome: Welcome | None = None
        self._specs: tuple[list[TensorSpec], list[TensorSpec]] = ([], [])
        self._facts: dict[str, Any] = {}
        self._latency = Latency(
            target_ns=[],
            host_ns=[],
            host_interval="flight" if self._measurement.conversation == "flight" else "between_oks",
        )
        self._remarks: list[str] = []
        self._cold: Statistics | None = None
        self._last: Statistics | None = None
        self._predictions: list[Any] = []
        self._truth: list[Any] = []
        self._indices: list[int] = []

    @property
    def measured(self) -> bool:
        """Whether at least one inference was measured."""
        return bool(self._latency.target_ns)

    def execute(self) -> None:
        """Compile, deploy and measure.

        Whatever ends it early, also Ctrl-C: what was measured until then is in
        :meth:`record`.

        Raises
        ------
        EdgeTesterError
        """
        self._dataset.prepare()
        self._accumulator = accumulator_for(self._dataset.task, self._dataset.class_names())
        self._check_formats()
        artifact = self._artifact = self._artifact or self._compiled()
        try:
            self._deploy(artifact)
            self._measure()
        finally:
            self._protocol.disconnect()

    def record(self, incomplete_reason: str | None = None) -> RunRecord:
        """Return what was measured so far.

        Parameters
        ----------
        incomplete_reason : str, optional
            Why the run ended early; without it the record counts as complete.
        """
        artifact, welcome, cold, last = self._artifact, self._welcome, self._cold, self._last
        if artifact is None or welcome is None or cold is None or last is None:
            raise InputError("Nothing was measured, so there is nothing to record.")
        used: list[Configurable] = [self._model, self._dataset, self._protocol, self._measurement]
        if self._compiler is not None:
            used.append(self._compiler)
        components = [
            Component(role=_role(part), name=path_of(type(part)), options=part.to_options())
            for part in used
        ]
        components.append(
            Component(role="runtime", name=welcome.runtime, options=welcome.runtime_options)
        )
        distributions = (*self._model.distributions, *artifact.tool_versions)
        return RunRecord(
            name=self._name,
            created=self._created,
            complete=incomplete_reason is None,
            incomplete_reason=incomplete_reason,
            command_line=self._command_line,
            batch_size=self._dataset.inference_batch_size,
            components=components,
            model=_model_facts(artifact, *self._specs),
            latency=self._latency,
            cold_start=ColdStart(load_ns=last.load_ns, first_inference_ns=last.first_inference_ns),
            memory=Memory(peak_bytes=last.peak_bytes, before_load_bytes=last.before_load_bytes),
            cpu=Cpu(time_ns=last.cpu_time_ns - cold.cpu_time_ns),
            quality=self._accumulator.result(),
            predictions=Predictions(
                index=self._indices,
                truth=self._truth if len(self._truth) == len(self._indices) else None,
                predicted=self._predictions,
            ),
            class_names=self._dataset.class_names(),
            runtime_facts=self._facts,
            dataset_facts=self._dataset.facts(),
            remarks=self._all_remarks(),
            target=msgspec.convert(welcome.machine, Machine),
            host=describe_machine(distributions),
        )

    def _check_formats(self) -> None:
        formats = self._runtime.input_formats
        made = self._compiler.output_format if self._compiler else self._model.format
        if made not in formats:
            advice = "" if self._compiler else "; name a compiler between model and runtime"
            raise ModelError(
                f"{type(self._runtime).__name__} runs {', '.join(formats)}, "
                f"got {made!r} ({self._model.model_path}){advice}."
            )

    def _compiled(self) -> Artifact:
        if self._compiler is None:
            return self._model.artifact()
        return compile_model(self._compiler, self._model, self._dataset, self._observer.tell)

    def _deploy(self, artifact: Artifact) -> None:
        hello = Hello(
            client=f"edge_tester on {platform.node()}",
            runtime=path_of(type(self._runtime)),
            runtime_options=self._runtime.chosen_options(),
            wait=self._measurement.wait,
        )
        self._welcome = self._protocol.connect(hello, self._observer.tell)
        self._observer.begin("Uploading", artifact.size_bytes, "bytes")
        try:
            loaded = self._protocol.upload_model(
                artifact, self._dataset.inference_batch_size, self._observer.advance
            )
        except TargetError as error:
            # The target knows the file by another name.
            raise TargetError(error.code, f"{artifact.path}: {error}") from error
        self._facts = dict(loaded.facts)
        self._remarks += [*_remarks_of(artifact), *self._facts.pop("remarks", [])]
        self._specs = self._protocol.loaded or ([], [])
        self._dataset.bind(self._specs[0])

    def _measure(self) -> None:
        indices = self._dataset.test_indices()
        # Closed at the end, whatever ends it: a thread may be reading ahead.
        with contextlib.closing(self._batches(indices)) as batches:
            first = next(batches)
            self._cold = self._warm_up(first.tensors)
            self._observer.begin("Running", len(indices), "samples")
            with OutputFiles(self._measurement.outputs_directory) as files:
                for batch in itertools.chain([first], batches):
                    self._measure_batch(batch, files)
                    self._observer.advance(len(batch.indices))

    def _measure_batch(self, batch: Batch, files: OutputFiles) -> None:
        size, count = self._dataset.inference_batch_size, len(batch.indices)
        answer = self._infer(batch.tensors)
        outputs = [np.array(output) for output in answer.outputs]
        scores = self._scores(outputs, size)[:count]
        predicted = self._accumulator.predicted(scores)
        kept = [per_sample(o, size)[:count] for o in outputs] if files.used else []
        # One inference is one entry everywhere, also if Ctrl-C comes between.
        with uninterrupted():
            files.append(kept)
            self._keep(batch, answer, scores, predicted)

    def _keep(self, batch: Batch, answer: Answer, scores: Array, predicted: list[Any]) -> None:
        self._accumulator.update(scores, batch.truth)
        self._latency.target_ns.append(answer.target_ns)
        if not self._protocol.in_process:
            self._latency.host_ns.append(answer.host_ns)
        self._last = answer.statistics
        self._indices.extend(int(index) for index in batch.indices)
        self._predictions.extend(predicted)
        if batch.truth is not None:
            self._truth.extend(batch.truth.tolist())

    def _warm_up(self, tensors: list[Array]) -> Statistics:
        """Make the cold inference and one more; both are apart from the measurement.

        The second tells whether the model gives the same answer again, and whether
        it is so fast that the pause between two samples would show in its time.
        """
        once = [np.array(output) for output in self._infer(tensors).outputs]
        answer = self._infer(tensors)
        same = all(map(same_tensors, once, answer.outputs))
        if not same:
            self._remarks.append(
                "The model gave two different outputs for the same input: it keeps a state or "
                "draws random numbers, so its quality depends on the order of the samples."
            )
        loop = self._measurement.pace == "loop"
        warmed = loop and same and answer.target_ns < _WARMED_BELOW_NS
        self._latency = msgspec.structs.replace(self._latency, warmed=warmed)
        return answer.statistics

    def _infer(self, tensors: list[Array]) -> Answer:
        warm = self._latency.warmed
        if self._measurement.conversation == "flight":
            return self._protocol.run_sample(tensors, warm=warm)
        self._protocol.upload_input(tensors)
        target_ns, host_ns = self._protocol.request_processing(warm=warm)
        outputs = [output.copy() for output in self._protocol.download_output()]
        return Answer(outputs, target_ns, host_ns, self._protocol.download_statistics())

    def _batches(self, indices: Array) -> Generator[Batch, None, None]:
        size = self._dataset.inference_batch_size
        made = (
            self._prepared(samples, indices[start : start + size])
            for start, samples in zip(
                range(0, len(indices), size), self._dataset.batches(indices, size), strict=True
            )
        )
        here = describe_machine().boot_id
        there = (self._welcome.machine if self._welcome else {}).get("boot_id")
        # Reading ahead on the machine that infers would take processor time from it.
        return made if here == there else read_ahead(made)

    def _prepared(self, samples: Samples, indices: Array) -> Batch:
        specs = self._specs[0]
        size = self._dataset.inference_batch_size
        # A short last batch is filled up, so that every inference is the same work.
        inputs = [filled(values, size) for values in samples.inputs]
        values = self._model.preprocess(inputs, specs)
        if len(values) != len(specs):
            raise InputError(
                f"The model has {len(specs)} inputs ({', '.join(s.name for s in specs)}), "
                f"{type(self._dataset).__name__} gives {len(values)}."
            )
        tensors = [spec.conform(value) for spec, value in zip(specs, values, strict=True)]
        return Batch(indices, samples.truth, tensors)

    def _scores(self, outputs: list[Array], size: int) -> Array:
        real = [s.dequantize(o) for s, o in zip(self._specs[1], outputs, strict=True)]
        return per_sample(self._model.postprocess(real), size)

    def _all_remarks(self) -> list[str]:
        pairs = list(zip(self._latency.target_ns, self._latency.host_ns, strict=False))
        shorter = sum(host_ns < target_ns for target_ns, host_ns in pairs)
        remarks = [*self._dataset.remarks(), *self._remarks]
        if not shorter:
            return remarks
        return [
            *remarks,
            f"{shorter} of {len(pairs)} host times are shorter than the target's time of the same "
            "inference (the host heard of its start too late): only the target's times count.",
        ]


def _remarks_of(artifact: Artifact | None) -> list[str]:
    """Return the remarks on all files that led to this one, the first file's first."""
    return [*_remarks_of(artifact.parent), *artifact.remarks] if artifact else []


def _role(part: Configurable) -> str:
    for base in (ModelWrapper, Dataset, ModelCompiler, RuntimeProtocol, Measurement):
        if isinstance(part, base):
            return base.__name__.lower()
    return type(part).__name__.lower()


def _model_facts(
    artifact: Artifact, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> ModelFacts:
    parents, parent = [], artifact.parent
    while parent is not None:
        parents.append({"name": parent.path.name, "format": parent.format, "sha256": parent.sha256})
        parent = parent.parent
    weights = artifact.weights
    return ModelFacts(
        name=artifact.path.name,
        format=artifact.format,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        inputs=inputs,
        outputs=outputs,
        quantized_weight_share=weights.quantized_share if weights else None,
        weight_elements=weights.elements if weights else {},
        compiler_facts=artifact.facts,
        parents=parents,
    )
