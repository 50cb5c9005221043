"""What a PyTorch file holds, told without running or loading it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edge_tester.core.errors import ModelError

# First bytes of a pickle of protocol 2 and later, as PyTorch wrote files before 2020.
_PICKLE = b"\x80"


def contents_of(path: Path) -> str:
    """Return ``torchscript``, ``torch-exported``, ``pickle`` or ``unknown``.

    Source: torch/csrc/jit/serialization/export_module.cpp for the folder of TorchScript's code,
    torch/export/pt2_archive/constants.py for that of exported programs.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return "pickle" if file.read(1) == _PICKLE else "unknown"
    with zipfile.ZipFile(path) as archive:
        inside = [name.partition("/")[2] for name in archive.namelist()]
        names = [*archive.namelist(), *inside]
    if any(name.startswith("code/") for name in names):
        return "torchscript"
    if any(name.startswith(("models/", "serialized_exported_program")) for name in names):
        return "torch-exported"
    return "pickle" if "data.pkl" in names else "unknown"


def require_contents(path: Path, wanted: str) -> None:
    """See whether a PyTorch file holds what its name promises.

    Raises
    ------
    ModelError
        It holds something else; the message says what, and what to do with that.
    """
    if not path.is_file():
        return
    found = contents_of(path)
    if found in (wanted, "unknown"):
        return
    advice = {
        "pickle": "weights (a state dict) or a pickled network. Name the function that builds the "
        f"network, such as mynet:make --weights {path} --input-shapes 3,224,224, or save it by "
        "torch.jit.save or torch.export.save",
        "torchscript": "a TorchScript program: name the file .torchscript",
        "torch-exported": "a program of torch.export: name the file .pt2",
    }
    raise ModelError(f"{path} is no {wanted} file, it holds {advice[found]}.")
