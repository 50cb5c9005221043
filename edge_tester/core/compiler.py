"""The compiler role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from edge_tester.core.artifact import Artifact, Weights
from edge_tester.core.backends import version
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError, EdgeTesterError
from edge_tester.core.making.selfcheck import Findings, checked
from edge_tester.core.making.trial import Result
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of, state
from edge_tester.core.run.feed import Feed
from edge_tester.core.system.files import atomic_folder, atomic_path, is_empty
from edge_tester.core.tensors import Array

MINIMUM_CALIBRATION_SAMPLES = 200
# Converters print whole programs; what is wrong stands at the beginning.
_LONGEST_REASON = 500


class ModelCompiler(Configurable):
    """A subclass must convert a model file and tell what its weights became.

    * ``convert`` writes to the path that it is given and nowhere else, leaves the model's file as
      it is, and raises where the result is not what the options ask for.
    * Inputs and outputs keep the order of the model, and their names where the format has names.
    * Equal options, model and samples make a file that answers alike.
    * Samples are consumed one by one; none is kept.

    Conformance suite: :class:`edge_tester.testing.CompilerConformance`.
    """

    input_formats: ClassVar[tuple[str, ...]]
    """Model formats that it takes."""
    output_format: ClassVar[str]
    """Model format that it makes."""
    output_is_folder: ClassVar[bool] = False
    """Whether a model of that format is a folder."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Names of the packages whose versions decide what comes out."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"": {}}
    """Options of the results that people usually want of it, by what tells them apart."""

    keeps_state: ClassVar[bool] = True
    """Whether a state that a network keeps between inferences is kept."""

    compiled_model_path: Path | None = option(
        None, help="Where the compiled model is written; beside the record by default"
    )
    model_framework: str = option(
        "auto", help="Format of the model to compile; auto takes the model wrapper's"
    )
    self_check: bool = option(
        True, help="Run the result on a few samples and compare it with its source"
    )

    calibrated: dict[str, list[float]] = state(default_factory=dict)
    """Smallest and largest value of each input among the samples that were calibrated with."""

    def prepare(self) -> None:
        """Get once what takes long to get; without it, the first compilation does."""

    def unprepared(self) -> str:
        """Return what :meth:`prepare` has yet to get, in words; empty if there is nothing."""
        return ""

    def convert(
        self, model: ModelWrapper, calibration: Iterator[list[Array]], output: Path
    ) -> None:
        """Compile ``model`` into ``output``.

        Parameters
        ----------
        model : ModelWrapper
        calibration : iterator of lists of ndarray, each of shape (1, ...)
            Preprocessed inputs, one sample at a time. Nothing is loaded unless
            it is consumed.
        output : Path
            An existing empty file, or folder, with the suffix of ``compiled_model_path``.
        """
        raise NotImplementedError

    def read_weights(self, path: Path) -> Weights:
        """Read a compiled file back and count its weights by dtype."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what else is to be known of what was just compiled; JSON can hold it."""
        return {}

    @classmethod
    def packages_for(cls, format: str) -> tuple[str, ...]:
        """Return the import names of what is needed to compile a model of this format."""
        return cls.packages

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        return False

    @property
    def calibrates(self) -> bool:
        """Whether it will need calibration samples."""
        return False

    @property
    def runs_elsewhere(self) -> str:
        """Why the result cannot run on this machine; empty if it can."""
        return ""

    def compile(self, model: ModelWrapper, dataset: Dataset | None) -> Artifact:
        """Compile, read back what was made, and describe it.

        Parameters
        ----------
        model : ModelWrapper
        dataset : Dataset or None
            Where calibration samples come from.

        Raises
        ------
        CompilationError
            The conversion failed, or the result is not what was asked for.
        """
        owner = type(self).__name__
        self.check_format(model)
        if model.format not in self.input_formats:
            raise CompilationError(
                f"{owner} takes {', '.join(self.input_formats)}, got {model.format!r} "
                f"({model.model_path})."
            )
        if self.calibrates:
            self.check_calibration(dataset)
        if not self.keeps_state:
            model.load()
            model.require_no_state(f"a file of {owner}")
        self.calibrated = {}
        output = self.output_path()
        if output.resolve() == model.model_path.resolve():
            raise CompilationError(
                f"{owner}.compiled_model_path must be another file than the model to compile, "
                f"got {output} for both."
            )
        parent = model.artifact()
        atomic = atomic_folder if self.output_is_folder else atomic_path
        with atomic(output) as temporary:
            try:
                self.convert(model, self._calibration(model, dataset), temporary)
                if is_empty(temporary):
                    raise CompilationError(f"{owner} wrote nothing for {model.model_path}.")
                weights = self.read_weights(temporary)
            except EdgeTesterError:
                raise
            except Exception as error:
                said = " ".join(str(error).split())
                reason = said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}..."
                raise CompilationError(
                    f"{owner} could not compile {model.model_path}: {type(error).__name__}: "
                    f"{reason}"
                ) from error
            if self.quantizes and weights.quantized_share == 0:
                raise CompilationError(
                    f"{owner} was asked for integer weights, but those of the result are "
                    f"{', '.join(weights.elements) or 'absent'}."
                )
            findings = self._checked(model, dataset, temporary, weights)
        return Artifact.from_file(
            output,
            self.output_format,
            producer=path_of(type(self)),
            options=self.to_options(),
            tool_versions={d: v for d in self.distributions if (v := version(d))},
            weights=weights,
            facts=self._all_facts(findings),
            remarks=findings.remarks,
            parent=parent,
        )

    def _all_facts(self, findings: Findings) -> dict[str, Any]:
        facts = {**self.facts(), "self_check": findings.facts}
        return {**facts, "calibrated": self.calibrated} if self.calibrated else facts

    def output_path(self) -> Path:
        """Return where the compiled model is written.

        Raises
        ------
        CompilationError
            Nobody said.
        """
        if self.compiled_model_path is None:
            raise CompilationError(
                f"{type(self).__name__}.compiled_model_path must say where to write, got None."
            )
        return self.compiled_model_path

    def check_format(self, model: ModelWrapper) -> None:
        """See whether the model is what the user says it is.

        Raises
        ------
        CompilationError
            It is of another format.
        """
        if self.model_framework not in ("auto", model.format):
            raise CompilationError(
                f"{type(self).__name__}.model_framework is {self.model_framework!r}, "
                f"but {model.model_path} is {model.format!r}."
            )

    def check_calibration(self, dataset: Dataset | None) -> None:
        """Let a data set set apart what calibrating needs, before anything that takes long.

        Raises
        ------
        CompilationError
            There is no data set.
        DatasetError
            It has too few samples.
        """
        owner = type(self).__name__
        if dataset is None:
            raise CompilationError(f"{owner} needs a data set to calibrate with, got none.")
        dataset.ensure_calibration(MINIMUM_CALIBRATION_SAMPLES)

    def _checked(
        self, model: ModelWrapper, dataset: Dataset | None, path: Path, weights: Weights
    ) -> Findings:
        if not self.self_check:
            return Findings({"run": False, "reason": "it was turned off"})
        if self.runs_elsewhere:
            return Findings({"run": False, "reason": self.runs_elsewhere})
        result = Result(type(self).__name__, path, self.output_format, weights)
        return checked(result, model, dataset)

    def _calibration(self, model: ModelWrapper, dataset: Dataset | None) -> Iterator[list[Array]]:
        self.check_calibration(dataset)
        samples = cast(Dataset, dataset)
        model.load()
        inputs, _ = model.specs()
        feed = Feed(model, samples, inputs, indices=samples.split().calibration)
        for values in map(feed.values, feed.loaded()):
            self._widen(values)
            yield values

    def _widen(self, values: list[Array]) -> None:
        """Note the range of all calibration samples, by the position of the input."""
        for index, one in enumerate(values):
            if one.size and one.dtype.kind in "fiu":
                low, high = self.calibrated.get(str(index), [float("inf"), float("-inf")])
                self.calibrated[str(index)] = [
                    min(low, float(one.min())),
                    max(high, float(one.max())),
                ]
