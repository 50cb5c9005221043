"""Coral's compiler for the Edge TPU, and what it tells.

Format of its log: "Edge TPU Compiler" in the documentation of Coral,
https://coral.ai/docs/edgetpu/compiler/.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from edge_tester.core.errors import BackendMissingError, CompilationError
from edge_tester.core.system.processes import ended_with_this
from edge_tester.core.system.temporary import TemporaryFolder

_COMMAND = "edgetpu_compiler"
_MAPPED = "Mapped to Edge TPU"
# CONV_2D                        15         Mapped to Edge TPU
_ROW = re.compile(r"(?P<name>\S+)\s+(?P<count>\d+)\s{2,}(?P<status>\S.*)")


@dataclasses.dataclass(frozen=True)
class EdgeTPULog:
    """What the compiler says became of the operations.

    Attributes
    ----------
    version : str
        Of the compiler; empty if it does not tell.
    mapped : dict of str to int
        Operations by name that the Edge TPU runs.
    left : dict of str to dict of str to int
        Operations that the CPU runs: name -> reason -> how many.
    """

    version: str
    mapped: dict[str, int]
    left: dict[str, dict[str, int]]

    @classmethod
    def parse(cls, text: str) -> EdgeTPULog:
        """Read what the compiler prints with ``--show_operations``."""
        version = re.search(r"^Edge TPU Compiler version (\S+)", text, re.MULTILINE)
        mapped: dict[str, int] = {}
        left: dict[str, dict[str, int]] = {}
        for line in text.splitlines():
            if row := _ROW.fullmatch(line.strip()):
                name, status = row["name"], row["status"]
                count = mapped if status == _MAPPED else left.setdefault(name, {})
                key = name if status == _MAPPED else status
                count[key] = count.get(key, 0) + int(row["count"])
        return cls(version[1] if version else "", mapped, left)

    def facts(self) -> dict[str, Any]:
        """Return all of it for an artifact."""
        return {
            "edgetpu_compiler": self.version,
            "operations on the Edge TPU": self.mapped,
            "operations on the CPU": self.left,
        }

    def reasons(self) -> str:
        """Return in one line why operations were left to the CPU."""
        return "; ".join(
            f"{count} {name}: {reason}"
            for name, reasons in self.left.items()
            for reason, count in reasons.items()
        )


def edge_tpu_compiler(owner: object) -> str:
    """Return the path of the compiler.

    Raises
    ------
    BackendMissingError
        It is not installed.
    """
    found = shutil.which(_COMMAND)
    if found is None:
        raise BackendMissingError(
            f"{type(owner).__name__} needs {_COMMAND} for target edgetpu, and there is none on the "
            "PATH: install Coral's Debian package edgetpu-compiler, which exists for Linux on "
            "x86-64 alone (https://coral.ai/docs/edgetpu/compiler/)."
        )
    return found


def compile_for_edge_tpu(owner: object, command: str, model: Path, output: Path) -> EdgeTPULog:
    """Compile a file of int8 for the Edge TPU.

    Parameters
    ----------
    owner : object
        Who asks, for messages.
    command : str
        Path of the compiler.
    model : Path
    output : Path
        Where the result is written; may be ``model`` itself.

    Raises
    ------
    CompilationError
        The compiler failed, wrote nothing, or mapped no operation.
    """
    name = type(owner).__name__
    with TemporaryFolder() as folder:
        source = Path(folder) / "model.tflite"
        shutil.copyfile(model, source)
        finished = subprocess.run(
            [command, "--show_operations", "--out_dir", folder, str(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=ended_with_this(),
        )
        made = Path(folder) / "model_edgetpu.tflite"
        if finished.returncode or not made.exists():
            # The first line is its version, which explains nothing.
            lines = [line.strip() for line in finished.stdout.splitlines() if line.strip()]
            told = " ".join(line for line in lines if not line.startswith("Edge TPU Compiler"))
            raise CompilationError(
                f"{name}: {_COMMAND} failed with exit status {finished.returncode}: "
                f"{told or 'it gave no reason'}"
            )
        log = EdgeTPULog.parse(finished.stdout)
        if not log.mapped:
            raise CompilationError(
                f"{name}: {_COMMAND} mapped no operation to the Edge TPU: "
                f"{log.reasons() or 'its log names none'}."
            )
        shutil.copyfile(made, output)
    return log
