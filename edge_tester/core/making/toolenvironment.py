"""Environments of their own for tools whose requirements do not fit among others."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.errors import CompilationError
from edge_tester.core.system.processes import ended_with_this
from edge_tester.core.system.temporary import folder_beside

_logger = logging.getLogger(__name__)


def tool_python(name: str, requirements: Sequence[str], folder: Path) -> Path:
    """Return the interpreter of a virtual environment that has what is required.

    It is made where there is none yet, beside its place, and moved there when it is complete:
    half of one is never used, and of two that are made at once the first one stays.

    Parameters
    ----------
    name : str
        Of the tool; the folder's name begins with it.
    requirements : sequence of str
        As pip takes them.
    folder : Path
        Where environments are kept.

    Raises
    ------
    CompilationError
        It could not be made; the message has the last error of pip.
    """
    place = _place(name, requirements, folder)
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _logger.info(
            "Making an environment for %s in %s, once: this takes minutes and gigabytes",
            ", ".join(requirements),
            place,
        )
        with folder_beside(place) as temporary:
            made = temporary / place.name
            run_python(Path(sys.executable), ["-m", "venv", str(made)], name)
            # Most of what large tools bring is never imported; Python compiles the rest itself.
            pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
            run_python(_interpreter(made), [*pip, *requirements], name)
            try:
                made.rename(place)
            except OSError:
                # Someone else has been faster.
                if not place.exists():
                    raise
        _logger.info("The environment of %s is complete", name)
    return _interpreter(place)


def lacks_tool(name: str, requirements: Sequence[str], folder: Path) -> str:
    """Return that an environment must be made first, in words; empty if it is there."""
    if _place(name, requirements, folder).exists():
        return ""
    return f"an environment of its own for {name}, which takes minutes and gigabytes to make"


def run_python(python: Path, arguments: Sequence[str], name: str) -> str:
    """Run an interpreter apart from this one's packages and return what it printed.

    Raises
    ------
    CompilationError
        It cannot be run, or fails; the message has the last line that it wrote.
    """
    # -I: neither PYTHONPATH nor the current folder may bring packages of another environment.
    command = [str(python), "-I", *arguments]
    try:
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            preexec_fn=ended_with_this(),
        )
    except OSError as error:
        raise CompilationError(f"{name}: {python} cannot be run: {error.strerror}.") from error
    if finished.returncode:
        lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
        raise CompilationError(
            f"{name} failed with exit status {finished.returncode}: "
            f"{lines[-1] if lines else 'it gave no reason'}"
        )
    return finished.stdout


def default_tools_folder() -> Path:
    """Return where environments are kept unless told otherwise, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edge_tester" / "tools"


def _place(name: str, requirements: Sequence[str], folder: Path) -> Path:
    version = "{}.{}".format(*sys.version_info)
    key = hashlib.sha256("\n".join([version, *requirements]).encode()).hexdigest()[:8]
    return folder / f"{name}-{key}"


def _interpreter(environment: Path) -> Path:
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"
