"""Baselines and compressed models of a sweep, each made once and found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from edge_tester.core import registry
from edge_tester.core.backends import version
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.compresses import Compressed, Compresses, Compression
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.making.cache import fingerprint
from edge_tester.core.making.chain import suffix_of, wrapper_of
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.core.options import Configurable, path_of
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.search.settings import SweepSettings
from edge_tester.core.search.space import Configuration, Space
from edge_tester.core.system.files import sha256_of_all, write_atomically

_FACTS = "made-from.json"
# Enough to see that the data have changed.
_FINGERPRINTED = 200
Content = dict[str, Any]


class Workshop:
    """Makes what the candidates of a sweep are made of.

    Parameters
    ----------
    plan : Plan
        The model in its own framework, with data set and measurement.
    settings : SweepSettings
    space : Space
    directory : Path
        Of the run.
    observer : Observer
    """

    def __init__(
        self, plan: Plan, settings: SweepSettings, space: Space, directory: Path, observer: Observer
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._space = space
        self._directory = directory
        self._observer = observer
        if not isinstance(plan.model, Compresses):
            raise OptionError(
                f"A sweep needs a model that can be compressed, such as one of PyTorch; "
                f"{type(plan.model).__name__} cannot."
            )

    def baseline(self, seed: int) -> ModelWrapper:
        """Return the trained model of a seed, not loaded.

        Raises
        ------
        EdgeTesterError
            It could be neither loaded nor trained.
        """
        model = self._plan.fresh().model
        if model.model_path.exists() and len(self._settings.seeds) == 1:
            return model
        folder = self._directory / "baselines" / f"seed-{seed}"
        training = TrainingPlan.from_options({**self._settings.training, "seed": seed})
        dataset = self.dataset()
        own = {k: v for k, v in model.to_options().items() if k != "model_path"}
        made_from = {
            "model": [path_of(type(model)), own],
            "training": training.to_options(),
            "data": self.data(dataset),
            "versions": _versions(model),
        }
        trained = type(model).from_options({**own, "model_path": str(folder / "model.pth")})

        def make() -> Content:
            self._observer.tell(f"Training {type(model).__name__} with seed {seed}")
            trained.train(dataset, training)
            return {"sha256": trained.artifact().sha256}

        _kept(folder, trained.model_path, made_from, make)
        return type(model).from_options(trained.to_options())

    def compressed(
        self, configuration: Configuration, seed: int, folder: Path | None = None
    ) -> Compressed | None:
        """Return what a configuration makes of the baseline; None if it changes nothing.

        Parameters
        ----------
        configuration : Configuration
        seed : int
        folder : Path, optional
            Another one than that of the run, to make it anew.

        Raises
        ------
        EdgeTesterError
            It cannot be made.
        """
        if not configuration.compression:
            return None
        compression = Compression.from_options({**configuration.compression, "seed": seed})
        model, dataset = self.baseline(seed), self.dataset()
        options = compression.to_options()
        name = hashlib.sha256(msgspec.json.encode(options, order="deterministic")).hexdigest()[:16]
        folder = (folder or self._directory / "models") / f"{name}-seed-{seed}"
        path = folder / "model.pt2"
        made_from = {
            "baseline": model.artifact().sha256,
            "compression": options,
            "data": self.data(dataset),
            "versions": _versions(model, "torch-pruning", "torchao", "executorch"),
        }

        def make() -> Content:
            self._observer.tell(f"Compressing by {_told(configuration.compression)}")
            model.load()
            found = cast(Compresses, model).compress(dataset, compression, path)
            return cast(Content, msgspec.to_builtins(found, enc_hook=str))

        content = _kept(folder, path, made_from, make)
        return msgspec.convert(content, Compressed, dec_hook=lambda kind, value: kind(value))

    def plan(
        self,
        configuration: Configuration,
        seed: int,
        protocol: RuntimeProtocol | None,
        replicates: int | None,
    ) -> Plan:
        """Return the plan that measures a candidate; makes what it needs.

        Raises
        ------
        EdgeTesterError
            It cannot be made.
        """
        precision = self._space.precision(configuration.precision)
        made = self.compressed(configuration, seed)
        model = self.baseline(seed)
        if made is not None:
            model = wrapper_of(made.path, made.format, made.wrapper)
        if precision.quantizer is not None:
            model = self._quantized(precision.quantizer, configuration, seed, model)
        named = precision.runtime
        by_class = {"class": named} if isinstance(named, str) else named
        runtime = cast(Runtime, _made("runtimes", by_class))
        compiler = None
        if precision.compiler is not None:
            compiler = self._compiler(precision.compiler)
        elif model.format not in runtime.input_formats:
            # The program of a baseline that nothing was done to.
            compiler = self._compiler({"class": "torch_exported"})
        # That somebody else uses the target for a while says nothing of a candidate.
        options = {**self._plan.measurement.chosen_options(), "wait": True}
        if replicates is not None:
            options["replicates"] = replicates
        measurement = type(self._plan.measurement).from_options(options)
        plan = Plan(
            model, self._measured(), runtime, compiler, protocol, measurement, self._plan.pattern
        )
        return plan.fresh()

    def dataset(self) -> Dataset:
        """Return the data set, prepared and bound to no model."""
        dataset = self._measured()
        dataset.prepare()
        # The same samples are set apart for all candidates, whether they calibrate or not.
        dataset.split()
        return dataset

    def data(self, dataset: Dataset) -> dict[str, str]:
        """Return what tells this data set, and its split, from others."""
        found = type(dataset).from_options(dataset.to_options())
        found.prepare()
        self._plan.fresh()
        indices = found.split().train[:_FINGERPRINTED]
        return {
            "class": path_of(type(dataset)),
            "options": repr(dataset.to_options()),
            "samples": fingerprint(found, indices),
        }

    def _measured(self) -> Dataset:
        one = self._plan.dataset
        count = max(one.min_calibration, self._settings.calibration_count)
        options = {**one.chosen_options(), "min_calibration": count}
        return type(one).from_options(options)

    def _compiler(self, named: Mapping[str, Any]) -> ModelCompiler:
        compiler = cast(ModelCompiler, _made("compilers", named))
        if compiler.calibrates and compiler.calibration_count is None:
            count = {"calibration_count": self._settings.calibration_count}
            return type(compiler).from_options({**compiler.chosen_options(), **count})
        return compiler

    def _quantized(
        self, named: Mapping[str, Any], configuration: Configuration, seed: int, model: ModelWrapper
    ) -> ModelWrapper:
        compiler, dataset = self._compiler(named), self.dataset()
        folder = self._directory / "models" / f"{configuration.name}-seed-{seed}"
        path = folder / f"quantized{suffix_of(compiler.output_format)}"
        made_from = {
            "model": model.artifact().sha256,
            "compiler": [path_of(type(compiler)), compiler.to_options()],
            "data": self.data(dataset),
            "versions": _versions(compiler),
        }

        def make() -> Content:
            options = {**compiler.chosen_options(), "compiled_model_path": path}
            self._observer.tell(f"Quantizing {model.model_path} by {type(compiler).__name__}")
            artifact = type(compiler).from_options(options).compile(model, dataset)
            return {"sha256": artifact.sha256, "format": artifact.format}

        content = _kept(folder, path, made_from, make)
        return wrapper_of(path, content["format"], model.scaling())


def _made(role: str, named: Mapping[str, Any]) -> Configurable:
    options = {key: value for key, value in named.items() if key != "class"}
    if not isinstance(named.get("class"), str):
        raise OptionError(f"A precision must name the 'class' of its {role[:-1]}, got {named!r}.")
    return registry.load(role, named["class"]).from_options(options)


def _kept(
    folder: Path, path: Path, made_from: Mapping[str, Any], make: Callable[[], Content]
) -> Content:
    """Return what is said of a file that was made from exactly this; it is made if not there."""
    facts = folder / _FACTS
    wanted = msgspec.json.decode(msgspec.json.encode(made_from, enc_hook=str))
    try:
        found = msgspec.json.decode(facts.read_bytes())
        if found["made_from"] == wanted and found["file"] == sha256_of_all(path):
            return cast(Content, found["content"])
    except (OSError, msgspec.DecodeError, KeyError, EdgeTesterError):
        # It was never made, or not to its end: it is made now.
        found = None
    folder.mkdir(parents=True, exist_ok=True)
    content = make()
    said = {"made_from": wanted, "file": sha256_of_all(path), "content": content}
    write_atomically(facts, msgspec.json.format(msgspec.json.encode(said, enc_hook=str), indent=1))
    return content


def _versions(part: ModelWrapper | ModelCompiler, *more: str) -> dict[str, str]:
    names = ("edge_tester", *part.distributions, *more)
    return {name: found for name in names if (found := version(name))}


def _told(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())
