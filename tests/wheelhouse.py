"""Wheels made again from the packages that are installed here: an index without a network."""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def write_wheels(folder: Path, names: Iterable[str]) -> None:
    """Write wheels of distributions, and of all that they require, into a folder."""
    waiting, seen = list(names), set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        found = metadata.distribution(name)
        _write(folder, found)
        for line in found.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)


def _write(folder: Path, distribution: metadata.Distribution) -> None:
    tags = re.findall(r"^Tag: (\S+)", distribution.read_text("WHEEL"), re.MULTILINE)
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    tag = "-".join(".".join(dict.fromkeys(part)) for part in parts)
    name = distribution.metadata["Name"].replace("-", "_").replace(".", "_")
    record, content = "", {}
    for path in distribution.files:
        inside = not path.is_absolute() and ".." not in path.parts
        if inside and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER"):
            content[str(path)] = path.locate().read_bytes()
    info = next(name for name in content if name.endswith("/METADATA")).rpartition("/")[0]
    for file, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(data)}\n"
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{name}-{distribution.version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file, data in content.items():
            archive.writestr(file, data)
