"""The host's side of a benchmark: deploy, feed, evaluate, record."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import platform
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset, Samples
from edge_tester.core.errors import InputError, ModelError, TargetError
from edge_tester.core.making.chain import compile_model
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of
from edge_tester.core.record import (
    Block,
    Component,
    Machine,
    Predictions,
    Replicate,
    RunRecord,
    with_classes,
)
from edge_tester.core.run.batches import Batch, filled, per_sample, same_tensors
from edge_tester.core.run.evaluation import Evaluation
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.outputs import OutputFiles
from edge_tester.core.run.readahead import read_ahead
from edge_tester.core.run.recording import (
    clock_remarks,
    cold_start_of,
    components_of,
    memory_of,
    model_facts,
    remarks_of,
    require_recordable,
    thread_remarks,
)
from edge_tester.core.run.watch import InputWatch, OutputWatch
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import Answer, RuntimeProtocol
from edge_tester.core.system.interrupts import uninterrupted
from edge_tester.core.system.machine import describe_machine
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.core.wire.payloads import Hello, Statistics, Welcome

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
    answer_limit_s: float = option(
        600.0, minimum=0.1, unit="s", help="Time that the target may take for an answer"
    )
    outputs_directory: Path | None = option(
        None, help="Folder for the raw outputs of every sample, one .npy file per output"
    )


class HostRun:
    """One benchmark, from a model to a run record.

    ``runtime`` has the options that the client sets; without ``compiler`` the model file is
    deployed as it is; ``artifact`` is what it has made of the model before.
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
        self._created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._artifact = artifact
        self._welcome: Welcome | None = None
        self._specs: tuple[list[TensorSpec], list[TensorSpec]] = ([], [])
        self._facts: dict[str, Any] = {}
        self._blocks: list[Block] = []
        self._warmed = False
        self._remarks: list[str] = []
        self._cold: Statistics | None = None
        self._last: Statistics | None = None
        self._predictions: list[Any] = []
        self._truth: list[Any] = []
        self._indices: list[int] = []

    @property
    def measured(self) -> bool:
        """Whether at least one inference was measured."""
        return bool(self._blocks)

    def execute(self) -> None:
        """Compile, deploy and measure.

        Whatever ends it early, also Ctrl-C: what was measured until then is in
        :meth:`record`.

        Raises
        ------
        EdgeTesterError
        """
        self._dataset.prepare()
        self._check_formats()
        if self._compiler is not None and self._compiler.calibrates:
            self._compiler.check_calibration(self._dataset)
        self._evaluation = Evaluation(self._model, self._dataset)
        require_recordable(self._model, self._dataset, self._protocol, self._evaluation.class_names)
        artifact = self._artifact = self._artifact or self._compiled()
        try:
            self._deploy(artifact)
            self._measure(artifact)
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
        used = [self._model, self._dataset, self._protocol, self._measurement]
        runtime = Component(role="runtime", name=welcome.runtime, options=welcome.runtime_options)
        distributions = (*self._model.distributions, *artifact.tool_versions)
        record = RunRecord(
            name=self._name,
            created=self._created,
            complete=incomplete_reason is None,
            incomplete_reason=incomplete_reason,
            command_line=self._command_line,
            batch_size=self._dataset.inference_batch_size,
            components=[*components_of(used, artifact), runtime],
            model=model_facts(artifact, *self._specs),
            replicates=[
                Replicate(
                    started=self._created,
                    cold_start=cold_start_of(last),
                    memory=memory_of(last),
                    blocks=self._blocks,
                    complete=incomplete_reason is None,
                )
            ],
            host_interval=(
                "flight" if self._measurement.conversation == "flight" else "between_oks"
            ),
            pace="loop" if self._warmed else "isolated",
            quality=self._evaluation.result().without_classes(),
            predictions=Predictions(
                index=self._indices,
                truth=self._truth if len(self._truth) == len(self._indices) else None,
                predicted=self._evaluation.settled(self._predictions),
            ),
            class_names=self._evaluation.class_names,
            runtime_facts=self._facts,
            dataset_facts=self._dataset.facts(),
            input_facts=self._inputs.facts(),
            remarks=self._all_remarks(),
            target=msgspec.convert(welcome.machine, Machine),
            host=describe_machine(distributions),
        )
        return with_classes(record)

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
        self._protocol.answer_limit_s = self._measurement.answer_limit_s
        self._welcome = self._protocol.connect(hello, self._observer.tell)
        axes: dict[str, int | None] = {"0": 0, "1": 1, "none": None}
        self._batch_axis = axes.get(self._model.batch_axis, 0)
        self._upload(artifact)
        self._dataset.bind(self._specs[0])

    def _upload(self, artifact: Artifact) -> None:
        self._observer.begin("Uploading", artifact.size_bytes, "bytes")
        try:
            loaded = self._protocol.upload_model(
                artifact,
                self._dataset.inference_batch_size,
                self._batch_axis,
                self._observer.advance,
            )
        except TargetError as error:
            if str(artifact.path) in str(error):
                raise
            raise TargetError(error.code, f"{artifact.path}: {error}") from error
        self._facts = dict(loaded.facts)
        self._specs = self._protocol.loaded or ([], [])

    def _settle(self, artifact: Artifact, samples: Samples) -> None:
        """Learn from the first samples what no spec tells: whether there is a batch axis."""
        pairs = list(zip(self._specs[0], samples.inputs, strict=False))
        single = bool(pairs) and all(one.ndim - 1 == len(spec.shape) for spec, one in pairs)
        fits = all(spec.accepts(one.shape[1:]) for spec, one in pairs)
        if self._model.batch_axis == "auto" and single and not fits:
            # What is open is not the batch, but the length of a sample.
            self._batch_axis = None
            self._upload(artifact)
            self._dataset.bind(self._specs[0])
        self._evaluation.check(self._specs[1], batched=not single)
        self._remarks += [*remarks_of(artifact), *self._facts.pop("remarks", [])]
        self._remarks += thread_remarks(self._facts, self._welcome.machine if self._welcome else {})
        self._inputs = InputWatch(self._specs[0], artifact.facts.get("calibrated"))
        self._outputs = OutputWatch(self._specs[1])

    def _measure(self, artifact: Artifact) -> None:
        indices = self._dataset.test_indices()
        loaded = self._loaded(indices)
        beginning = next(loaded)
        self._settle(artifact, beginning[0])
        # Closed at the end, whatever ends it: a thread may be reading ahead.
        with (
            contextlib.closing(self._batches(itertools.chain([beginning], loaded))) as batches,
            OutputFiles(self._measurement.outputs_directory) as files,
        ):
            first = next(batches)
            if "state" in self._facts:
                # Never run twice for one sample: the cold inference is the answer to it.
                self._observer.begin("Running", len(indices), "samples")
                answer = self._infer(first.tensors)
                self._cold = answer.statistics
                self._evaluate(first, answer, files, timed=False)
            else:
                self._cold = self._warm_up(first.tensors)
                self._observer.begin("Running", len(indices), "samples")
                self._evaluate(first, self._infer(first.tensors), files)
            for batch in batches:
                self._evaluate(batch, self._infer(batch.tensors), files)

    def _per_sample(self, values: Array) -> Array:
        axis = None if self._model.batchless else self._batch_axis
        return per_sample(values, self._dataset.inference_batch_size, axis)

    def _evaluate(
        self, batch: Batch, answer: Answer, files: OutputFiles, timed: bool = True
    ) -> None:
        count = len(batch.indices)
        outputs = [np.array(output) for output in answer.outputs]
        real = [s.dequantize(o) for s, o in zip(self._specs[1], outputs, strict=True)]
        answers = self._model.postprocess(real)
        scores = answers if self._model.batchless else self._per_sample(answers)[:count]
        self._outputs.see(batch.tensors, real, scores)
        predicted = self._evaluation.predicted(scores)
        kept = [self._per_sample(o)[:count] for o in outputs] if files.used else []
        # One inference is one entry everywhere, also if Ctrl-C comes between.
        with uninterrupted():
            files.append(kept)
            self._keep(batch, answer, scores, predicted, timed)
        self._observer.advance(count)

    def _keep(
        self, batch: Batch, answer: Answer, scores: Array, predicted: list[Any], timed: bool
    ) -> None:
        self._evaluation.update(scores, batch.truth)
        if timed:
            before = self._last or self._cold or answer.statistics
            block = Block(
                start_ns=0,
                target_ns=[answer.target_ns],
                host_ns=[] if self._protocol.in_process else [answer.host_ns],
                untimed=int(self._warmed),
                cpu_time_ns=answer.statistics.cpu_time_ns - before.cpu_time_ns,
            )
            self._blocks.append(block)
        self._last = answer.statistics
        self._indices.extend(int(index) for index in batch.indices)
        self._predictions.extend(predicted)
        if batch.truth is not None:
            truth = self._evaluation.translated(batch.truth)
            self._truth.extend([] if truth is None else truth.tolist())

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
        self._warmed = loop and same and answer.target_ns < _WARMED_BELOW_NS
        return answer.statistics

    def _infer(self, tensors: list[Array]) -> Answer:
        warm = self._warmed
        if self._measurement.conversation == "flight":
            return self._protocol.run_sample(tensors, warm=warm)
        self._protocol.upload_input(tensors)
        target_ns, host_ns = self._protocol.request_processing(warm=warm)
        outputs = [output.copy() for output in self._protocol.download_output()]
        return Answer(outputs, target_ns, host_ns, self._protocol.download_statistics())

    def _loaded(self, indices: Array) -> Iterator[tuple[Samples, Array]]:
        size = self._dataset.inference_batch_size
        starts = range(0, len(indices), size)
        for start, samples in zip(starts, self._dataset.batches(indices, size), strict=True):
            yield samples, indices[start : start + size]

    def _batches(self, loaded: Iterator[tuple[Samples, Array]]) -> Generator[Batch, None, None]:
        made = (self._prepared(samples, indices) for samples, indices in loaded)
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
        return Batch(indices, samples.truth, self._inputs.conform(values))

    def _all_remarks(self) -> list[str]:
        return [
            *self._model.remarks(),
            *self._dataset.remarks(),
            *self._remarks,
            *self._inputs.remarks(at_chance=self._evaluation.at_chance()),
            *self._outputs.remarks(),
            *self._evaluation.remarks(),
            *clock_remarks(self._blocks),
        ]
