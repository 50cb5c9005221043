"""What a command needs to be installed, seen before anything is done."""

from __future__ import annotations

from collections.abc import Sequence

from edge_tester.core.backends import distribution_of, install_command, missing_packages
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import BackendMissingError
from edge_tester.core.making.chain import links_between
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable
from edge_tester.core.runtime import Runtime


def require_packages(
    model: ModelWrapper,
    dataset: Dataset,
    compiler: ModelCompiler | None = None,
    runtime: Runtime | None = None,
) -> None:
    """See whether all packages of a run are installed on this machine.

    Parameters
    ----------
    model : ModelWrapper
    dataset : Dataset
    compiler : ModelCompiler, optional
    runtime : Runtime, optional
        If it runs on this machine.

    Raises
    ------
    BackendMissingError
        Some are not; the message names all, and what installs them.
    """
    needs: list[tuple[type[Configurable], Sequence[str]]] = [(type(dataset), dataset.packages)]
    if compiler is not None:
        needs.append((type(model), model.packages))
        format = model.format
        for link in links_between(format, type(compiler)):
            needs.append((link, link.packages_for(format)))
            format = link.output_format
        needs.append((type(compiler), compiler.packages_for(format)))
    if runtime is not None:
        needs.append((type(runtime), runtime.packages))
    found = {cls: missing_packages(packages) for cls, packages in needs}
    lacking = {cls: packages for cls, packages in found.items() if packages}
    if lacking:
        said = "; ".join(
            f"{cls.__name__} needs {', '.join(packages)}" for cls, packages in lacking.items()
        )
        ours = {cls: packages for cls, packages in lacking.items() if not distribution_of(cls)}
        every = dict.fromkeys(one for packages in ours.values() for one in packages)
        commands = [install_command(every)] if every else []
        commands += [install_command(p, cls) for cls, p in lacking.items() if cls not in ours]
        raise BackendMissingError(f"{said}: {' && '.join(dict.fromkeys(commands))}")
