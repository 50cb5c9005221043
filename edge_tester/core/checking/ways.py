"""All usual ways to deploy a model: what compilers make of it, and what runs that."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, cast

from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import BackendMissingError, CompilationError, OptionError
from edge_tester.core.making.chain import links_between
from edge_tester.core.making.runtimes import runtimes_for
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint
from edge_tester.core.registry import loadable, name_of, names
from edge_tester.core.run.requirements import require_packages
from edge_tester.core.runtime import Runtime


class Way(NamedTuple):
    """How a model can be deployed.

    Attributes
    ----------
    compiler : ModelCompiler or None
        None deploys the file as it is.
    runtime : Runtime
    """

    compiler: ModelCompiler | None
    runtime: Runtime


class Ways(NamedTuple):
    """What there is, and what there is not.

    Attributes
    ----------
    found : dict of str to Way
        By name: the compiler and its variant, such as ``tflite-int8``, or the format of a file
        that is deployed as it is; then the runtime if it is not the first for that format.
    lacking : dict of str to str
        Why others are not there, by name.
    """

    found: dict[str, Way]
    lacking: dict[str, str]


def ways_of(
    model: ModelWrapper,
    dataset: Dataset,
    *,
    wanted: Collection[str] = (),
    local: bool = True,
    make_tools: bool = False,
) -> Ways:
    """Return every way to deploy a model that the plugins of this environment have.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset
        With which it would be measured.
    wanted : collection of str
        Names of ways; all by default.
    local : bool
        Whether runtimes must be usable on this machine.
    make_tools : bool
        Whether compilers may make environments for tools, which takes long.

    Raises
    ------
    OptionError
        Something that is wanted does not exist.
    """
    found: dict[str, Way] = {}
    lacking: dict[str, str] = {}
    known: list[str] = []
    for name, compiler in _made(model):
        format = compiler.output_format if compiler else model.format
        runtimes = runtimes_for(format)
        if not runtimes:
            lacking[name] = f"no runtime runs {format!r} models"
        for position, cls in enumerate(runtimes):
            own = name if position == 0 else f"{name}-{name_of(cls)}"
            known.append(own)
            if wanted and own not in wanted:
                continue
            way = Way(compiler, cls())
            reason = _reason(model, dataset, way, local, make_tools)
            if reason:
                lacking[own] = reason
            else:
                found[own] = way
    for one in wanted:
        if one not in known:
            raise OptionError(f"There is no way {one!r} to deploy a model{hint(one, known)}")
    return Ways(found, lacking)


def _made(model: ModelWrapper) -> list[tuple[str, ModelCompiler | None]]:
    """Return what can be deployed: the file itself, and each variant of each compiler."""
    made: list[tuple[str, ModelCompiler | None]] = []
    if runtimes_for(model.format):
        made.append((model.format, None))
    for name in names("compilers"):
        loaded = loadable("compilers", name)
        if loaded is None:
            continue
        cls = cast(type[ModelCompiler], loaded)
        for variant, options in cls.variants.items():
            if not variant and _changes_nothing(model.format, cls):
                continue
            made.append((f"{name}-{variant}" if variant else name, cls.from_options(options)))
    return made


def _changes_nothing(format: str, cls: type[ModelCompiler]) -> bool:
    """Tell whether what it is given is already what it would make."""
    try:
        links = links_between(format, cls)
    except CompilationError:
        return False
    given = links[-1].output_format if links else format
    return given == cls.output_format


def _reason(model: ModelWrapper, dataset: Dataset, way: Way, local: bool, make_tools: bool) -> str:
    """Return why a way is not there, empty if it is."""
    compiler = way.compiler
    if local and (reason := way.runtime.unusable()):
        return f"{type(way.runtime).__name__} {reason}"
    try:
        if compiler is not None and not make_tools:
            links = [one() for one in links_between(model.format, type(compiler))]
            if lacks := [what for one in [*links, compiler] if (what := one.unprepared())]:
                return f"needs {' and '.join(lacks)}"
        require_packages(model, dataset, compiler, way.runtime if local else None)
    except (BackendMissingError, CompilationError) as error:
        return str(error)
    return ""
