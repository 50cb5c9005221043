"""The package itself as a wheel, made from its files as they are installed here.

Also of an editable installation, and without a tool that builds: what runs on the target is what
runs here. The same files give the same bytes.

Source: "Binary distribution format" and "Recording installed projects" of the Python packaging
specifications (PEP 427, PEP 376).
"""

from __future__ import annotations

import functools
from pathlib import Path

import edge_tester
from edge_tester.core.errors import RuntimeStateError

NAME = "edge_tester"
_COMMAND = "[console_scripts]\nedge-tester = edge_tester.__main__:main\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: edge_tester\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_PYTHON = ">=3.10"
# The earliest that zip files know.
_DATE = (1980, 1, 1, 0, 0, 0)


@functools.cache
def requirements() -> dict[str, list[str]]:
    """Return what this package requires, by its extras; under an empty text always.

    Raises
    ------
    RuntimeStateError
        It is not installed, and so nothing says what it requires.
    """
    from importlib import metadata

    try:
        lines = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError as error:
        raise RuntimeStateError(
            f"{NAME} is used here without being installed, so that nothing says what it needs on a "
            "target: pip install it, --editable or not."
        ) from error
    found: dict[str, list[str]] = {"": []}
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        condition, _, extra = marker.rpartition("extra ==")
        condition = condition.strip().removesuffix("and").strip()
        name = extra.strip().strip("\"'") if "extra ==" in marker else ""
        one = f"{requirement}; {condition}" if condition else requirement
        found.setdefault(name, []).append(f"{one}; {marker}" if marker and not name else one)
    return found


def write_wheel(folder: Path) -> Path:
    """Write the wheel into a folder and return its path."""
    import base64
    import hashlib
    import zipfile

    version = edge_tester.__version__
    path = folder / f"{NAME}-{version}-py3-none-any.whl"
    info = f"{NAME}-{version}.dist-info"
    contents = {name: file.read_bytes() for name, file in _files().items()}
    contents |= {name: text.encode() for name, text in _told(info, version).items()}
    record = []
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(content)}\n")
    record.append(f"{info}/RECORD,,\n")
    contents[f"{info}/RECORD"] = "".join(record).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return path


@functools.cache
def digest() -> str:
    """Return a hash of what is in the wheel, which needs not be made for it."""
    import hashlib

    total = hashlib.sha256()
    for name, file in _files().items():
        content = file.read_bytes()
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    for text in _told("", edge_tester.__version__).values():
        total.update(text.encode())
    return total.hexdigest()


def _files() -> dict[str, Path]:
    """Return the files of the package by their names in the wheel, in a fixed order."""
    root = Path(edge_tester.__file__).parent
    found = {
        path.relative_to(root.parent).as_posix(): path
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".pyo")
    }
    return dict(sorted(found.items()))


def _told(info: str, version: str) -> dict[str, str]:
    """Return what a wheel says of itself."""
    lines = ["Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {version}"]
    lines += [f"Requires-Python: {_PYTHON}"]
    lines += [f"Requires-Dist: {one}" for one in requirements()[""]]
    return {
        f"{info}/METADATA": "\n".join([*lines, ""]),
        f"{info}/WHEEL": _WHEEL,
        f"{info}/entry_points.txt": _COMMAND,
    }
