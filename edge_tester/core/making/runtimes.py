"""Which runtimes run a model format."""

from __future__ import annotations

from typing import cast

from edge_tester.core.errors import PluginError
from edge_tester.core.registry import loadable, names
from edge_tester.core.runtime import Runtime


def runtimes_for(format: str) -> list[type[Runtime]]:
    """Return the runtimes that run a format; first those that name it first, then by name."""
    loaded = (loadable("runtimes", name) for name in names("runtimes"))
    runtimes = [cast(type[Runtime], one) for one in loaded if one is not None]
    fitting = [one for one in runtimes if format in one.input_formats]
    return sorted(fitting, key=lambda one: one.input_formats.index(format))


def runtime_for(format: str) -> type[Runtime]:
    """Return the first of them.

    Raises
    ------
    PluginError
        There is none.
    """
    found = runtimes_for(format)
    if not found:
        raise PluginError(f"No runtime runs {format!r} models; name a compiler that makes another.")
    return found[0]
