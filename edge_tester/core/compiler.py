"""The compiler role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, cast

from edge_tester.core.artifact import Artifact, Weights
from edge_tester.core.backends import version
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError, EdgeTesterError, OptionError
from edge_tester.core.making.calibration import (
    CalibrationSet,
    require_samples,
    samples_of_dataset,
    samples_of_folder,
)
from edge_tester.core.making.selfcheck import Findings, checked
from edge_tester.core.making.trial import Ready, Result, standing_by
from edge_tester.core.making.unsupported import unsupported_operations
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, option, path_of, state
from edge_tester.core.samples.folder import SampleFolder
from edge_tester.core.system.files import atomic_folder, atomic_path, is_empty
from edge_tester.core.tensors import Array

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

    calibration_samples: Path | None = option(
        None,
        help="Folder of .npy samples to calibrate with, such as edge-tester samples writes, "
        "instead of the data set's calibration split",
    )
    calibration_count: int | None = option(
        None,
        minimum=1,
        help="Samples to calibrate with, each class with its share; by default all that are set "
        "apart for it, at least 200",
    )

    calibration: CalibrationSet = state(default_factory=CalibrationSet)
    """What the last compilation was calibrated with."""

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
    def makes_integers(self) -> bool:
        """Whether some weights must be integers in what was just compiled."""
        return self.quantizes

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
        self.check_choices()
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
        self.calibration = CalibrationSet()
        output = self.output_path()
        if output.resolve() == model.model_path.resolve():
            raise CompilationError(
                f"{owner}.compiled_model_path must be another file than the model to compile, "
                f"got {output} for both."
            )
        parent = model.artifact()
        atomic = atomic_folder if self.output_is_folder else atomic_path
        with self._ready() as waiting, atomic(output) as temporary:
            try:
                self.convert(model, self._calibration(model, dataset), temporary)
                if is_empty(temporary):
                    raise CompilationError(f"{owner} wrote nothing for {model.model_path}.")
                weights = self.read_weights(temporary)
            except EdgeTesterError:
                raise
            except Exception as error:
                if unknown := unsupported_operations(error):
                    raise CompilationError(
                        f"{owner} could not compile {model.model_path}: its converter does "
                        f"not take the operation {', '.join(unknown)}. Write it with ordinary "
                        "operations, or run the model in its own framework on the device."
                    ) from error
                said = " ".join(str(error).split())
                reason = said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}..."
                raise CompilationError(
                    f"{owner} could not compile {model.model_path}: {type(error).__name__}: "
                    f"{reason}"
                ) from error
            if self.makes_integers and weights.quantized_share == 0:
                raise CompilationError(
                    f"{owner} was asked for integer weights, but those of the result are "
                    f"{', '.join(weights.elements) or 'absent'}."
                )
            self._require_calibrated()
            findings = self._checked(model, dataset, temporary, weights, waiting)
        return Artifact.from_file(
            output,
            self.output_format,
            producer=path_of(type(self)),
            options=self.to_options(),
            tool_versions={d: v for d in self.distributions if (v := version(d))},
            weights=weights,
            facts=self._all_facts(findings),
            remarks=(*self.calibration.remarks, *findings.remarks),
            parent=parent,
        )

    def _all_facts(self, findings: Findings) -> dict[str, Any]:
        facts = {**self.facts(), "self_check": findings.facts}
        if self.calibration.facts:
            facts["calibration"] = self.calibration.facts
        if self.calibrated:
            facts["calibrated"] = self.calibrated
        return facts

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

    def check_choices(self) -> None:
        """See that no option was chosen that would do nothing, before anything that takes long.

        Raises
        ------
        OptionError
            Samples to calibrate with were named, but nothing is calibrated.
        """
        for name, value in self._of_calibration().items():
            if value is not None and not (self.calibrates or self.quantizes):
                raise OptionError(
                    f"{type(self).__name__}.{name} is for a quantization that is calibrated, which "
                    f"is not asked for, got {value}."
                )

    def check_calibration(self, dataset: Dataset | None) -> SampleFolder | None:
        """Let a data set set apart what calibrating needs, before anything that takes long.

        Returns
        -------
        SampleFolder or None
            The folder of samples that is taken instead.

        Raises
        ------
        CompilationError
            There is neither a data set nor a folder, or the folder has too few samples.
        DatasetError
            The data set has too few samples, or something is wrong with the folder.
        """
        return require_samples(self, dataset, self.calibration_samples, self.calibration_count)

    @property
    def calibrated(self) -> dict[str, list[float]]:
        """Smallest and largest value of each input among the samples that were calibrated with."""
        return self.calibration.ranges

    def _of_calibration(self) -> dict[str, Any]:
        return {
            "calibration_samples": self.calibration_samples,
            "calibration_count": self.calibration_count,
        }

    def _require_calibrated(self) -> None:
        chosen = [name for name, value in self._of_calibration().items() if value is not None]
        if chosen and not self.calibration.facts:
            raise CompilationError(
                f"{type(self).__name__}.{chosen[0]} was given, but with these options nothing is "
                "calibrated."
            )

    def _ready(self) -> AbstractContextManager[Ready]:
        checks = self.self_check and not self.runs_elsewhere
        return standing_by(self.output_format) if checks else nullcontext({})

    def _checked(
        self,
        model: ModelWrapper,
        dataset: Dataset | None,
        path: Path,
        weights: Weights,
        ready: Ready,
    ) -> Findings:
        if not self.self_check:
            return Findings({"run": False, "reason": "it was turned off"})
        if self.runs_elsewhere:
            return Findings({"run": False, "reason": self.runs_elsewhere})
        result = Result(type(self).__name__, path, self.output_format, weights)
        try:
            return checked(result, model, dataset, ready)
        except CompilationError as error:
            if not self.calibration.remarks:
                raise
            # What the samples were may well be why.
            raise CompilationError(f"{error} {' '.join(self.calibration.remarks)}") from error

    def _calibration(self, model: ModelWrapper, dataset: Dataset | None) -> Iterator[list[Array]]:
        # Nothing is looked at unless the compiler asks for the first sample.
        folder, owner = self.check_calibration(dataset), type(self).__name__
        found, count = self.calibration, self.calibration_count
        if folder is not None:
            yield from samples_of_folder(found, owner, model, dataset, folder, count)
        else:
            yield from samples_of_dataset(found, owner, model, cast(Dataset, dataset), count)
