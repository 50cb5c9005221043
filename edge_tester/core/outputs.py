"""Keep the raw outputs of a run on disk, with bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge_tester.core.errors import InputError
from edge_tester.core.tensors import Array


class OutputFiles:
    """Writes ``output_0.npy``, ``output_1.npy``, ...: samples along the first axis.

    Values are those of the model, quantized ones as integers. An interrupted
    run leaves the samples that it got.

    Parameters
    ----------
    directory : Path or None
        None writes nothing.
    count : int
        Number of samples expected.
    """

    def __init__(self, directory: Path | None, count: int) -> None:
        self.used = directory is not None
        self._directory = directory or Path()
        self._count = count
        self._written = 0
        self._files: list[Any] = []

    def __enter__(self) -> OutputFiles:
        """Begin."""
        return self

    def append(self, outputs: Sequence[Array]) -> None:
        """Write the outputs of the next samples, each of shape (samples, ...).

        Raises
        ------
        InputError
            The shape of an output changes from sample to sample.
        """
        if not self.used:
            return
        if not self._files:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._files = [
                np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                    self._path(index), "w+", output.dtype, (self._count, *output.shape[1:])
                )
                for index, output in enumerate(outputs)
            ]
        for file, output in zip(self._files, outputs, strict=True):
            if file.shape[1:] != output.shape[1:]:
                raise InputError(
                    f"Outputs of different shapes cannot be kept in one file: "
                    f"{file.shape[1:]}, then {output.shape[1:]}. Leave --outputs-directory out."
                )
            file[self._written : self._written + len(output)] = output
        self._written += len(outputs[0])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush; cut off what an interrupted run did not get."""
        for index, file in enumerate(self._files):
            file.flush()
            if self._written < self._count:
                np.save(self._path(index), np.array(file[: self._written]))
        self._files = []

    def _path(self, index: int) -> Path:
        return self._directory / f"output_{index}.npy"
