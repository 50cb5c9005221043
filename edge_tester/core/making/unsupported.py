"""Name the operation that a converter does not know, whatever else it says."""

from __future__ import annotations

import re
import sys
from typing import Any

# As torch.export prints it, and as PyTorch's schemas have it.
_NAMES = re.compile(r"torch\.ops\.(\w+)\.(\w+)|(?<![\w:/.])([A-Za-z_]\w*)::(\w+)")
# As PyTorch's graphs have it, without the namespace.
_UNQUALIFIED = re.compile(r"['\"](\w+)\.\w+['\"]")
# What converters print of C++ (std::, c10::), of TorchScript (prim::), and what they all know.
_NOT_CUSTOM = frozenset({"aten", "prim", "prims", "std", "c10", "torch", "at", "tvm", "ffi"})


def unsupported_operations(error: BaseException) -> list[str]:
    """Return the custom operations that an error names, or one that it came from.

    Parameters
    ----------
    error : exception

    Returns
    -------
    list of str
        As ``namespace::name``, in alphabetic order.
    """
    found: set[str] = set()
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        for match in _NAMES.finditer(str(one)):
            space, name = match[1] or match[3], match[2] or match[4]
            if space not in _NOT_CUSTOM and _registered(space, name):
                found.add(f"{space}::{name}")
        for match in _UNQUALIFIED.finditer(str(one)):
            found |= _named(match[1])
        one = one.__cause__ or one.__context__
    return sorted(found)


def _registered(space: str, name: str) -> bool:
    """Tell whether PyTorch has it: names of C++ look the same."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and hasattr(getattr(torch.ops, space), name)


def _named(name: str) -> set[str]:
    """Return the custom operations of this name, none if PyTorch's own have it too."""
    torch: Any = sys.modules.get("torch")
    known = torch._C._dispatch_get_all_op_names() if torch is not None else []
    full = {one.partition(".")[0] for one in known}
    found = {one for one in full if one.partition("::")[2] == name}
    return set() if any(one.partition("::")[0] in _NOT_CUSTOM for one in found) else found
