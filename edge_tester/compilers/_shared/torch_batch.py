"""Exported PyTorch programs with the batch size that a compiler fixes."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError
from edge_tester.core.system import torchprograms


def fixed_program(program: Any, batch_size: int, owner: object) -> tuple[Any, tuple[Any, ...]]:
    """Return a program for one batch size, and example inputs.

    Parameters
    ----------
    program : torch.export.ExportedProgram
    batch_size : int
    owner : object
        The compiler.

    Raises
    ------
    CompilationError
        The program has a batch size of its own, which is another.
    """
    torch = backend("torch", owner)
    given = program.example_inputs[0]
    if torchprograms.open_sizes(program, owner) is None:
        sizes = {len(one) for one in given if one.ndim}
        if sizes and sizes != {batch_size}:
            raise CompilationError(
                f"{type(owner).__name__}.batch_size must be {sorted(sizes)[0]}, for which alone "
                f"the program was exported, got {batch_size}."
            )
    examples = tuple(torch.zeros((batch_size, *one.shape[1:]), dtype=one.dtype) for one in given)
    return torch.export.export(program.module(), examples), examples
