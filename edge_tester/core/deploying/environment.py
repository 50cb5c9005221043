"""The environment that a target needs: this package, and what its runtimes are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import edge_tester
from edge_tester.core.backends import EXTRAS, distribution_of, version
from edge_tester.core.deploying.wheel import digest, requirements
from edge_tester.core.errors import OptionError
from edge_tester.core.runtime import Runtime

# In the home folder there.
FOLDER = ".cache/edge_tester"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Environment(NamedTuple):
    """What is installed together on a target.

    Attributes
    ----------
    key : str
        Name of its folder there: another one for another version, for other files of this
        package, and for other requirements.
    requirements : list of str
        As pip takes them, besides this package.
    modules : list of str
        What has to be importable there.
    """

    key: str
    requirements: list[str]
    modules: list[str]


def environment_for(runtimes: Sequence[type[Runtime]]) -> Environment:
    """Return the environment for some runtimes.

    Raises
    ------
    OptionError
        A runtime is of no package, so that a target cannot have it.
    RuntimeStateError
        This package is not installed.
    """
    import hashlib

    wanted, modules = list(requirements()[""]), ["numpy", "msgspec", "edge_tester"]
    for runtime in runtimes:
        wanted += _requirements_of(runtime)
        modules += [names.partition("|")[0] for names in runtime.packages]
    wanted = list(dict.fromkeys(wanted))
    hashed = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    return Environment(f"{beginning_of_keys()}{hashed}", wanted, list(dict.fromkeys(modules)))


def beginning_of_keys() -> str:
    """Return what the keys of all environments with this very package begin with."""
    return f"{edge_tester.__version__}-{digest()[:12]}-"


def name_in(requirement: str) -> str:
    """Return the distribution that a requirement names, in its normal form.

    Source: "Names and normalization" of the Python packaging specifications (PEP 503).
    """
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else requirement


def _requirements_of(runtime: type[Runtime]) -> list[str]:
    if not runtime.__module__.startswith("edge_tester."):
        distribution = distribution_of(runtime)
        if distribution is None:
            raise OptionError(
                f"{runtime.__name__} is of no package, but a file of this machine: a target that "
                "is reached by ssh cannot have it. Start an agent there by hand."
            )
        return [f"{distribution}=={version(distribution)}"]
    extras = [EXTRAS.get(names.partition("|")[0], "") for names in runtime.packages]
    mine = {name_in(name) for name in runtime.distributions}
    return [
        one
        for extra in dict.fromkeys(extras)
        for one in requirements().get(extra, [])
        if name_in(one) in mine
    ]
