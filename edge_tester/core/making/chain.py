"""Compile through as many formats as it takes: torch -> onnx -> tvm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError
from edge_tester.core.formats import FORMATS
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import state
from edge_tester.core.registry import loadable, names
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array, TensorSpec


class CompiledModel(ModelWrapper):
    """What one compiler of a chain has made, as the model of the next one.

    It runs as a file of its format does, and is fed as the model it was made from.
    """

    origin: ModelWrapper = state()
    made: Artifact = state()
    file: ModelWrapper = state()

    @property
    def format(self) -> str:
        """Format of the file that was made."""
        return self.made.format

    def artifact(self) -> Artifact:
        """Return what was made, with all that it was made from."""
        return self.made

    def load(self) -> None:
        """Load the file."""
        self.file.load()

    def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the specs of the file."""
        return self.file.specs()

    def precision(self) -> str:
        """Return the coarsest type that the file computes in."""
        return self.file.precision()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the file on the host."""
        return self.file.run(inputs)

    def save_to_onnx(self, path: Path) -> None:
        """Export the file."""
        self.file.save_to_onnx(path)

    def export(self) -> Any:
        """Return the program that the file holds."""
        return self.file.export()

    def state_names(self) -> list[str]:
        """Return where the file keeps what it remembers."""
        return self.file.state_names()

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Do as the model at the beginning of the chain does."""
        return self.origin.preprocess(inputs, specs)

    def scaling(self) -> dict[str, Any] | None:
        """Return what the model at the beginning of the chain does."""
        return self.origin.scaling()


def links_between(format: str, compiler: type[ModelCompiler]) -> list[type[ModelCompiler]]:
    """Return the compilers that come before ``compiler`` for a model of this format.

    The shortest chain, of those the first by name; empty if none is needed.

    Raises
    ------
    CompilationError
        No chain leads there; the message names the missing link.
    """
    loaded = (loadable("compilers", name) for name in names("compilers"))
    # What quantizes of its own accord makes another model: it is taken by its name alone.
    compilers = [
        one for one in (cast(type[ModelCompiler], o) for o in loaded if o) if not one().quantizes
    ]
    chains: dict[str, list[type[ModelCompiler]]] = {format: []}
    # Grows while it is walked: breadth first, so that the shortest chain comes first.
    reached = [format]
    for have in reached:
        if have in compiler.input_formats:
            return chains[have]
        for one in compilers:
            if have in one.input_formats and one.output_format not in chains:
                chains[one.output_format] = [*chains[have], one]
                reached.append(one.output_format)
    made = ", ".join(reached[1:])
    reason = f"compilers make {made} of it" if made else "no compiler takes that"
    raise CompilationError(
        f"{compiler.__name__} takes {', '.join(compiler.input_formats)}, the model is {format!r}; "
        f"{reason}."
    )


def way_of(compiler: ModelCompiler, model: ModelWrapper) -> str:
    """Return the formats and compilers on the way, such as ``torch -> onnx (ONNXCompiler)``."""
    compilers = [*links_between(model.format, type(compiler)), type(compiler)]
    return " -> ".join([model.format, *(f"{c.output_format} ({c.__name__})" for c in compilers)])


def compile_model(
    compiler: ModelCompiler,
    model: ModelWrapper,
    dataset: Dataset | None,
    tell: Callable[[str], None] = lambda text: None,
) -> Artifact:
    """Compile a model, through further formats where the compiler does not take its own.

    The links before the last one convert and nothing else: they have their default
    options, but check themselves only if it does, and what they make is gone afterwards.

    Parameters
    ----------
    compiler : ModelCompiler
    model : ModelWrapper
    dataset : Dataset or None
        Where calibration samples come from.
    tell : callable
        Hears what is about to happen.

    Raises
    ------
    CompilationError
    """
    tell(f"Compiling {model.model_path}: {way_of(compiler, model)}")
    links = links_between(model.format, type(compiler))
    if not links:
        return compiler.compile(model, dataset)
    compiler.check_choices()
    compiler.check_format(model)
    if compiler.calibrates:
        compiler.check_calibration(dataset)
    with TemporaryFolder() as folder:
        step = model
        for number, link in enumerate(links):
            path = Path(folder) / f"{model.model_path.stem}-{number}{suffix_of(link.output_format)}"
            settings = {"compiled_model_path": path, "self_check": compiler.self_check}
            made = link.from_options(settings).compile(step, dataset)
            step = CompiledModel(model_path=path)
            step.origin, step.made, step.file = model, made, wrapper_of(made.path, made.format)
        # The model's own format was checked; that of the last step is another.
        options: dict[str, Any] = {**compiler.to_options(), "model_framework": "auto"}
        return type(compiler).from_options(options).compile(step, dataset)


def suffix_of(format: str) -> str:
    """Return the first suffix that stands for a model format."""
    return next(suffix for suffix, known in FORMATS.items() if known == format)


def wrapper_of(path: Path, format: str, options: Mapping[str, Any] | None = None) -> ModelWrapper:
    """Return a model file in the wrapper for any file of its format.

    Parameters
    ----------
    path : Path
    format : str
    options : mapping, optional
        Further ones of the wrapper.

    Raises
    ------
    CompilationError
        No wrapper reads the format.
    """
    for name in names("modelwrappers"):
        wrapper = loadable("modelwrappers", name)
        if wrapper is not None and getattr(wrapper, "file_format", "") == format:
            chosen = wrapper.from_options({"model_path": path, **(options or {})})
            return cast(ModelWrapper, chosen)
    raise CompilationError(f"No model wrapper reads {format!r} files.")
