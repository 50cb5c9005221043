"""Libraries of custom operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_tester.core.backends import backend
from edge_tester.core.errors import RuntimeStateError

_EXTENSIONS = "onnxruntime_extensions"


def libraries(given: Sequence[str], owner: object) -> list[str]:
    """Return the files of libraries.

    Raises
    ------
    BackendMissingError, RuntimeStateError
        A package or a file is not there.
    """
    files = []
    for one in given:
        path = one
        if one == _EXTENSIONS:
            path = backend(_EXTENSIONS, owner).get_library_path()
        if not Path(path).is_file():
            raise RuntimeStateError(
                f"{type(owner).__name__}.custom_op_libraries: this target has no file {path}."
            )
        files.append(str(Path(path).resolve()))
    return files
