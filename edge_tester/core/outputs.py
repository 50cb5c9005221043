"""Keep the raw outputs of a run on disk, with bounded memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from edge_tester.core.errors import InputError, RecordError
from edge_tester.core.tensors import Array


class OutputFiles:
    """Writes ``output_0.npy``, ``output_1.npy``, ...: samples along the first axis.

    Values are those of the model, quantized ones as integers. An interrupted
    run leaves the samples that it got, in files that can be read.

    Parameters
    ----------
    directory : Path or None
        None writes nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.used = directory is not None
        self._directory = directory or Path()
        self._written = 0
        # Unbuffered: what does not fit on the disk fails here, not when all is over.
        self._files: list[BinaryIO] = []
        self._headers: list[dict[str, Any]] = []

    def __enter__(self) -> OutputFiles:
        """Begin."""
        return self

    def append(self, outputs: Sequence[Array]) -> None:
        """Write the outputs of the next samples, each of shape (samples, ...).

        Raises
        ------
        InputError
            The shape of an output changes from sample to sample.
        RecordError
            The files cannot be written.
        """
        if not self.used:
            return
        if not self._files:
            self._open(outputs)
        for header, output in zip(self._headers, outputs, strict=True):
            if header["shape"][1:] != output.shape[1:]:
                raise InputError(
                    f"Outputs of different shapes cannot be kept in one file: "
                    f"{header['shape'][1:]}, then {output.shape[1:]}. "
                    "Leave --outputs-directory out."
                )
        with self._writing():
            for file, output in zip(self._files, outputs, strict=True):
                content = memoryview(output.tobytes())
                while content:
                    content = content[file.write(content) :]
            self._written += len(outputs[0])
            # After each sample, so that whatever ends this program leaves readable files.
            for file, header in zip(self._files, self._headers, strict=True):
                file.seek(0)
                header["shape"] = (self._written, *header["shape"][1:])
                _write_header(file, header)
                file.seek(0, os.SEEK_END)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _open(self, outputs: Sequence[Array]) -> None:
        with self._writing():
            self._directory.mkdir(parents=True, exist_ok=True)
            for index, output in enumerate(outputs):
                path = self._directory / f"output_{index}.npy"
                header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(output))
                header["shape"] = (0, *output.shape[1:])
                self._headers.append(header)
                file = path.open("wb", buffering=0)
                self._files.append(file)
                _write_header(file, header)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordError(
                f"The outputs cannot be written to {self._directory}: {error.strerror}."
            ) from error


def _write_header(file: BinaryIO, header: dict[str, Any]) -> None:
    # Its length does not depend on the number of samples: numpy leaves room for that.
    np.lib.format.write_array_header_1_0(file, header)
