"""Read the YAML files that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import OptionError


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose content is a mapping with texts as keys.

    Raises
    ------
    OptionError
        The file cannot be read, or holds something else.
    """
    yaml = backend("yaml", "edge-tester")
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise OptionError(f"The file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"The file {path} is no YAML: {reason}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must hold keys and values, got {type(content).__name__}.")
    if other := [key for key in content if not isinstance(key, str)]:
        raise OptionError(f"The keys of {path} must be texts, got {other[0]!r}.")
    return content
