"""Find the layers that a quantization harms most, and leave them in float until it is good."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.checking.scoring import Judge, Worth, unmeasured
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError
from edge_tester.core.making.chain import suffix_of
from edge_tester.core.making.likeness import LOW_SIGNAL_TO_NOISE_DB
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import path_of
from edge_tester.core.selectivecompiler import Layer, SelectiveCompiler

Figure = Literal["accuracy", "agreement", "signal_to_noise_db"]

# What a quantization may lose of the accuracy, or of the answers in common, unless somebody says.
_ALLOWED_LOSS = 0.01
# Enough for the noise of one layer, which each sample shows.
_RANKING_SAMPLES = 100


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """What quantizing a tensor, or a layer's own weights, does to the scores.

    Attributes
    ----------
    name : str
        Of the tensor, or of the layer.
    what : str
        ``tensor`` or ``layer``.
    harm : float
        Power of the error of the scores as part of their own, if nothing else is quantized; of
        a tensor it is at most so much.
    layers : list of str
        That must be in float for it to be: those that write and read the tensor, or the layer.
    """

    name: str
    what: Literal["tensor", "layer"]
    harm: float
    layers: list[str]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A quantization that was tried.

    Attributes
    ----------
    kept : list of str
        Layers in float, in the order of the graph; what ``keep_float`` takes.
    weighted : int
        How many of these layers have weights.
    weights_in_float : float
        Part of the weights, 0 to 1.
    worth : Worth
    size_bytes : int
        Of the file.
    latency_ns : float or None
        As the caller measured it; None if nobody did.
    """

    kept: list[str]
    weighted: int
    weights_in_float: float
    worth: Worth
    size_bytes: int
    latency_ns: float | None = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """How far a quantization came by leaving layers in float.

    Attributes
    ----------
    compiler, model : str
        Dotted path of the compiler, name of the model's file.
    figure : str
        By which figure of :class:`Worth` it is judged.
    goal : float
        What the figure must at least be.
    source : Worth
        Of the model in float.
    layers, weighted_layers : int
        That could be quantized, and those of them that have weights.
    ranking : list of Harm
        Worst first; empty if the goal held from the beginning.
    steps : list of Step
        In the order in which they were tried, the first with nothing in float.
    chosen : int
        Index of the step that holds the goal with the fewest layers in float, or of the best one.
    reached : bool
        Whether it holds the goal.
    path : str
        File of the chosen one.
    """

    compiler: str
    model: str
    figure: Figure
    goal: float
    source: Worth
    layers: int
    weighted_layers: int
    ranking: list[Harm]
    steps: list[Step]
    chosen: int
    reached: bool
    path: str

    @property
    def keep_float(self) -> list[str]:
        """The layers that the chosen one has in float."""
        return self.steps[self.chosen].kept


def select(
    compiler: SelectiveCompiler,
    model: ModelWrapper,
    dataset: Dataset,
    folder: Path,
    *,
    figure: Figure | None = None,
    goal: float | None = None,
    samples: int = 300,
    most_layers: float = 1.0,
    latency: Callable[[Artifact], float | None] = lambda artifact: None,
    tell: Callable[[str], None] = lambda text: None,
) -> Selection:
    """Leave layers in float, those that are harmed most first, until the quality is good enough.

    Each layer is quantized alone to see its harm. A tensor that is quantized badly shows in the
    layers that write and read it, whichever of them is quantized; so tensors are ranked, by the
    least harm of their layers, and for each all its layers are left in float together. What a
    layer does worse than its tensors is put down to its weights, and ranked for itself. In the
    end, what was not needed is quantized again.

    Parameters
    ----------
    compiler : SelectiveCompiler
        With a target that quantizes; ``keep_float`` and ``compiled_model_path`` do not matter.
    model : ModelWrapper
        In float.
    dataset : Dataset
        Prepared. None of the samples to be measured is looked at.
    folder : Path
        For the file of the result, ``selective`` with the format's suffix.
    figure : str, optional
        By which to judge; accuracy by default where the truth is known, else the agreement with
        the source, or the signal-to-noise ratio where answers are no classes.
    goal : float, optional
        What it must at least be; by default the source's less 0.01, or 15 dB.
    samples : int, default=300
        At most so many judge.
    most_layers : float, default=1
        Part of the layers with weights that may stay in float, 0 to 1.
    latency : callable, optional
        Measures a step [ns], or does not; called while the step's file is there.
    tell : callable, optional
        Hears what is about to happen.

    Returns
    -------
    Selection

    Raises
    ------
    EdgeTesterError
        Compiling or running failed, or the figure is not to be had.

    Notes
    -----
    Of single operators the ranking by what each alone would regain fails: between two layers that
    are quantized, a bad tensor is quantized all the same.
    """
    search = _Search(compiler, model, dataset, folder, figure, goal, samples, latency)
    with search.compiler.calibrating_once():
        search.begin()
        ranking: list[Harm] = []
        if not search.holds(search.steps[0]):
            tell(f"Quantizing each of {len(search.layers)} layers alone")
            ranking = search.ranking()
            tell("Leaving the worst in float")
            search.go(ranking, math.floor(most_layers * search.weighted()))
    return search.result(ranking)


@dataclasses.dataclass
class _Search:
    compiler: SelectiveCompiler
    model: ModelWrapper
    dataset: Dataset
    folder: Path
    figure: Figure | None
    goal: float | None
    samples: int
    latency: Callable[[Artifact], float | None]
    steps: list[Step] = dataclasses.field(default_factory=list)
    layers: list[Layer] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        path = self.folder / f"selective{suffix_of(self.compiler.output_format)}"
        options = {**self.compiler.to_options(), "compiled_model_path": path, "keep_float": ()}
        self.compiler = type(self.compiler).from_options({**options, "self_check": False})

    def begin(self) -> None:
        """Quantize everything, and find what to judge by."""
        if self.compiler.calibrates:
            self.compiler.check_calibration(self.dataset)
        indices = unmeasured(self.dataset, self.samples)
        self.judge = Judge(self.model, self.dataset, indices)
        source = self.judge.source
        if self.figure is None:
            self.figure = (
                "accuracy"
                if source.accuracy is not None
                else ("agreement" if source.agreement is not None else "signal_to_noise_db")
            )
        if self.goal is None:
            known = None if self.figure == "signal_to_noise_db" else getattr(source, self.figure)
            self.goal = LOW_SIGNAL_TO_NOISE_DB if known is None else known - _ALLOWED_LOSS
        if self.figure != "signal_to_noise_db" and getattr(source, self.figure) is None:
            raise CompilationError(
                f"{self.model.model_path.name} cannot be judged by {self.figure} on "
                f"{type(self.dataset).__name__}: choose another figure."
            )
        self.step([])

    def step(self, kept: Sequence[str]) -> Step:
        """Try a quantization, and note what it is worth."""
        artifact = self.made(kept)
        if not self.steps:
            self.layers = list(self.compiler.layers)
            if not self.layers:
                raise CompilationError(
                    f"{type(self.compiler).__name__} tells no layers of "
                    f"{self.model.model_path.name} ({self.model.format}) that could be left in "
                    "float: compile it to a file of its output format with target default first."
                )
        weights = artifact.weights
        found = Step(
            kept=[one.name for one in self.layers if one.name in kept],
            weighted=self.weighted(kept),
            weights_in_float=1 - weights.quantized_share if weights else 0.0,
            worth=self.judge.worth(artifact),
            size_bytes=artifact.content_bytes or artifact.size_bytes,
            latency_ns=self.latency(artifact),
        )
        self.steps.append(found)
        return found

    def weighted(self, kept: Collection[str] | None = None) -> int:
        """Count the layers with weights, all or some."""
        return sum(one.weights > 0 for one in self.layers if kept is None or one.name in kept)

    def made(self, kept: Sequence[str]) -> Artifact:
        self.compiler.keep_float = tuple(kept)
        return self.compiler.compile(self.model, self.dataset)

    def value(self, step: Step) -> float:
        """Return the figure of a step; no difference at all is an infinite ratio."""
        worth, figure = step.worth, self.figure or "accuracy"
        found = getattr(worth, figure)
        if found is None and figure == "signal_to_noise_db":
            return math.inf if worth.agreement == 1 else -math.inf
        return -math.inf if found is None else float(found)

    def holds(self, step: Step) -> bool:
        return self.value(step) >= (self.goal or 0.0)

    def ranking(self) -> list[Harm]:
        """Return the harm of each tensor, and of each layer for itself, worst first."""
        alone = {}
        for layer in self.layers:
            others = [one.name for one in self.layers if one is not layer]
            artifact = self.made(others)
            alone[layer.name] = self.judge.noise(artifact, _RANKING_SAMPLES)
        around: dict[str, list[str]] = {}
        for layer in self.layers:
            for tensor in dict.fromkeys((*layer.inputs, *layer.outputs)):
                around.setdefault(tensor, []).append(layer.name)
        tensors = {name: min(alone[one] for one in layers) for name, layers in around.items()}
        found = [
            Harm(name=name, what="tensor", harm=harm, layers=around[name])
            for name, harm in tensors.items()
        ]
        for layer in self.layers:
            shared = max(tensors[name] for name in (*layer.inputs, *layer.outputs))
            # An error without limit is the tensors' as well; infinity less infinity is nothing.
            own = alone[layer.name] - shared if math.isfinite(shared) else 0.0
            found.append(Harm(name=layer.name, what="layer", harm=own, layers=[layer.name]))
        # Of equal ones a tensor first: the layers at both its ends are needed.
        return sorted(found, key=lambda one: (-one.harm, one.what != "tensor"))

    def go(self, ranking: Sequence[Harm], most: int) -> None:
        """Leave one after the other in float, then quantize again what need not be."""
        kept: set[str] = set()
        for harm in ranking:
            more = kept | set(harm.layers)
            if more == kept or self.weighted(more) > most:
                continue
            kept = more
            if self.holds(self.step(sorted(kept))):
                break
        else:
            return
        # The least harmed first: it is the likeliest not to be needed.
        for harm in reversed(ranking):
            less = kept - set(harm.layers)
            if harm.what == "layer" and less != kept and self.holds(self.step(sorted(less))):
                kept = less

    def result(self, ranking: list[Harm]) -> Selection:
        holding = [one for one in self.steps if self.holds(one)]
        best = (
            min(holding, key=lambda one: len(one.kept))
            if holding
            else max(self.steps, key=self.value)
        )
        # Made once more, and compared with its source as whatever is compiled.
        self.compiler.self_check = True
        artifact = self.made(best.kept)
        return Selection(
            compiler=path_of(type(self.compiler)),
            model=self.model.model_path.name,
            figure=self.figure or "accuracy",
            goal=self.goal or 0.0,
            source=self.judge.source,
            layers=len(self.layers),
            weighted_layers=self.weighted(),
            ranking=ranking,
            steps=self.steps,
            chosen=self.steps.index(best),
            reached=bool(holding),
            path=str(artifact.path),
        )
