"""Keep the raw outputs of a run on disk, with bounded memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from edge_tester.core.errors import InputError, RecordError
from edge_tester.core.tensors import Array


class OutputFiles:
    """Writes ``output_0.npy``, ``output_1.npy``, ...: samples along the first axis.

    Values are those of the model, quantized ones as integers. An output whose shape changes from
    sample to sample, such as a list of what was found, becomes two files: ``output_0_values.npy``
    with all values one after another, and ``output_0_shapes.npy`` with a shape per sample. An
    interrupted run leaves the samples that it got, in files that can be read.

    Parameters
    ----------
    directory : Path or None
        None writes nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.used = directory is not None
        self._directory = directory or Path()
        self._outputs: list[_Output] = []

    def __enter__(self) -> OutputFiles:
        """Begin."""
        return self

    def append(self, samples: Sequence[Sequence[Array]]) -> None:
        """Write the outputs of some inferences; they count from :meth:`commit` on.

        Parameters
        ----------
        samples : sequence of sequences of ndarray
            For each inference its outputs, each of shape (samples, ...).

        Raises
        ------
        InputError
            The number of axes of an output changes from sample to sample.
        RecordError
            The files cannot be written.
        """
        try:
            for outputs in samples:
                if not self._outputs:
                    self._directory.mkdir(parents=True, exist_ok=True)
                    self._outputs = [
                        _Output(self._directory / f"output_{index}", output)
                        for index, output in enumerate(outputs)
                    ]
                for one, output in zip(self._outputs, outputs, strict=True):
                    one.append(output)
        except OSError as error:
            raise self._refusal(error) from error

    def commit(self) -> None:
        """Let all that was written count, so that whatever ends this program leaves it.

        Raises
        ------
        RecordError
            The files cannot be written.
        """
        try:
            for one in self._outputs:
                one.commit()
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> RecordError:
        return RecordError(f"The outputs cannot be written to {self._directory}: {error.strerror}.")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for one in self._outputs:
            one.close()
        self._outputs = []


class _Output:
    """The file of one output, or the two files of one whose shape changes."""

    def __init__(self, path: Path, first: Array) -> None:
        self._path = path
        self._samples = _Growing(path.with_name(f"{path.name}.npy"), first)
        self._shapes: _Growing | None = None

    def append(self, output: Array) -> None:
        shape = self._samples.shape
        if self._shapes is None and output.shape[1:] == shape:
            self._samples.append(output)
            return
        if self._shapes is None:
            self._part(listed=output.ndim == len(shape) + 2)
        if output.ndim == self._rank:
            # A list of one, which looks like a batch of one.
            output = output[:, np.newaxis]
        self._write(output)

    def commit(self) -> None:
        self._samples.commit()
        if self._shapes is not None:
            self._shapes.commit()

    def close(self) -> None:
        self._samples.close()
        if self._shapes is not None:
            self._shapes.close()

    def _part(self, *, listed: bool) -> None:
        """Go on with two files; if ``listed``, each sample until now was a list of one."""
        whole = self._samples
        whole.commit()
        written = np.load(whole.path)
        whole.close()
        values = self._path.with_name(f"{self._path.name}_values.npy")
        shapes = self._path.with_name(f"{self._path.name}_shapes.npy")
        shape = ((1,) if listed else ()) + whole.shape
        self._rank = len(shape)
        self._samples = _Growing(values, written.reshape(-1))
        self._shapes = _Growing(shapes, np.empty((0, self._rank), np.int64))
        self._write(written.reshape(len(written), *shape))
        whole.path.unlink()

    def _write(self, output: Array) -> None:
        if output.ndim != self._rank + 1 or self._shapes is None:
            raise InputError(
                f"Outputs with another number of axes cannot be kept in one file: {self._rank}, "
                f"then {output.ndim - 1}. Leave --outputs-directory out."
            )
        self._samples.append(output.reshape(-1))
        self._shapes.append(np.full((len(output), self._rank), output.shape[1:], np.int64))


class _Growing:
    """A .npy file that grows along its first axis; it can be read at any time, as committed."""

    def __init__(self, path: Path, first: Array) -> None:
        self.path = path
        self.shape = first.shape[1:]
        self._header: dict[str, Any] = np.lib.format.header_data_from_array_1_0(
            np.ascontiguousarray(first)
        )
        self._count = 0
        # Unbuffered: what does not fit on the disk fails here, not when all is over.
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._write_header()

    def append(self, values: Array) -> None:
        content = memoryview(values.tobytes())
        while content:
            content = content[self._file.write(content) :]
        self._count += len(values)

    def commit(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._file.close()

    def _write_header(self) -> None:
        self._header["shape"] = (self._count, *self.shape)
        # Its length does not depend on the number of samples: numpy leaves room for that.
        np.lib.format.write_array_header_1_0(self._file, self._header)
