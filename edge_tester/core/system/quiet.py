"""Keep the chatter of frameworks away from the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

_STANDARD_ERROR = 2


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is printed, logged and warned of inside the block.

    Errors pass; so does all that native code wrote, once anything goes wrong.
    """
    earlier = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        _quiet_native_code(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(earlier)


@contextlib.contextmanager
def _quiet_native_code() -> Iterator[None]:
    if sys.__stderr__ is not None:
        sys.__stderr__.flush()
    with tempfile.TemporaryFile() as held:
        original = os.dup(_STANDARD_ERROR)
        os.dup2(held.fileno(), _STANDARD_ERROR)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(original, _STANDARD_ERROR)
            if failed:
                held.seek(0)
                os.write(original, held.read())
            os.close(original)
