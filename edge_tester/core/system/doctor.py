"""What this machine has for running models: packages, processor, memory, devices, heat."""

from __future__ import annotations

import concurrent.futures
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from edge_tester.core.backends import EXTRAS, available, install_command, version
from edge_tester.core.results.parts import Machine
from edge_tester.core.system.machine import (
    available_memory_bytes,
    cpu_features,
    describe_machine,
)
from edge_tester.core.system.processes import ended_with_this
from edge_tester.core.system.throttling import throttling

# Import name -> distribution, where they differ.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow-cpu",
    "tvm": "apache-tvm",
    "yaml": "PyYAML",
}
_IMPORT_LIMIT_S = 120.0
# Imports a package as the plugins do. What it prints is not its last word.
_IMPORT = (
    "import sys; from edge_tester.core.backends import backend\n"
    "try: backend(sys.argv[1], 'edge-tester doctor')\n"
    "except BaseException as error:\n"
    "    print(f'{type(error).__name__}: {error}', file=sys.stderr); sys.exit(1)\n"
)
# What a device is told by, and what it is. USB ids of Coral's stick before and after it has its
# firmware: coral.ai/docs, "Get started with the USB Accelerator".
_DEVICE_FILES = {
    "dev/apex_0": "Coral Edge TPU (PCIe or M.2)",
    "dev/ethosu0": "Arm Ethos-U NPU",
    "dev/galcore": "VeriSilicon NPU or GPU",
    "dev/nvidia0": "NVIDIA GPU",
    "dev/nvhost-gpu": "NVIDIA Jetson GPU",
    "dev/kfd": "AMD GPU (ROCm)",
    "dev/accel/accel0": "accelerator of the kernel's accel subsystem",
    "dev/hailo0": "Hailo NPU",
}
_USB_DEVICES = {
    "1a6e:089a": "Coral USB Accelerator (not initialized yet)",
    "18d1:9302": "Coral USB Accelerator",
    "03e7:2485": "Intel Movidius Neural Compute Stick",
}
_DELEGATES = {
    "edgetpu": "Coral Edge TPU",
    "armnnDelegate": "Arm NN",
    "vx_delegate": "VeriSilicon NPU",
    "ethosu_delegate": "Arm Ethos-U",
    "tensorflowlite_gpu_delegate": "TensorFlow Lite GPU",
    "QnnTFLiteDelegate": "Qualcomm QNN",
    "nvinfer": "NVIDIA TensorRT",
}
_LIBRARY_FOLDERS = ("usr/lib", "usr/local/lib", "lib")
_LOW_DISK_BYTES, _LOW_MEMORY_BYTES, _HOT_C = 1 << 30, 256 << 20, 80.0


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package that some plugin uses.

    Attributes
    ----------
    name : str
        By which it is imported.
    status : str
        ``available``, ``missing``, or ``broken``: installed, and cannot be imported.
    version : str or None
    advice : str
        The command that installs it, or its own error.
    """

    name: str
    status: Literal["available", "missing", "broken"]
    version: str | None = None
    advice: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What there is on a machine.

    Attributes
    ----------
    machine : Machine
    cpu_features : list of str
        Instruction sets.
    memory_available_bytes, disk_free_bytes : int or None
        The disk is that of the current folder.
    clocks_mhz : dict of str to float
        ``now``, ``least`` and ``most`` of the first processor, as far as the kernel tells.
    temperatures_c : dict of str to float
        By zone [degrees Celsius].
    packages : list of Package
    throttling : list of str or None
        What the firmware of a Raspberry Pi says of its power and heat; None where nothing does.
    devices, delegates : list of str
        Accelerators that were found, and libraries that can use some.
    warnings : list of str
        What will spoil measurements or stop them, and what to do.
    """

    machine: Machine
    cpu_features: list[str]
    memory_available_bytes: int | None
    disk_free_bytes: int | None
    clocks_mhz: dict[str, float]
    temperatures_c: dict[str, float]
    packages: list[Package]
    throttling: list[str] | None = None
    devices: list[str]
    delegates: list[str]
    warnings: list[str]


def examine(
    *, root: Path = Path("/"), tell: Callable[[str], None] = lambda text: None
) -> Environment:
    """Look at this machine; every package is imported, in a process of its own.

    Parameters
    ----------
    root : Path
        Where the kernel's files are.
    tell : callable
        Hears which package is being tried.
    """
    machine = describe_machine()
    temperatures = _temperatures(root)
    memory = available_memory_bytes(root)
    disk = shutil.disk_usage(Path.cwd()).free
    throttled = throttling()
    names = ("numpy", "msgspec", "psutil", *sorted(EXTRAS))
    with concurrent.futures.ThreadPoolExecutor(machine.cpu_count or 1) as pool:
        packages = list(pool.map(lambda name: _package(name, tell), names))
    return Environment(
        machine=machine,
        cpu_features=cpu_features().split(),
        memory_available_bytes=memory,
        disk_free_bytes=disk,
        clocks_mhz=_clocks(root),
        temperatures_c=temperatures,
        packages=packages,
        throttling=throttled,
        devices=list(_devices(root)),
        delegates=list(_delegates(root)),
        warnings=[
            *_warnings(machine, memory, disk, temperatures, packages),
            *(f"{one}: a weak power supply or heat slows this board." for one in throttled or ()),
        ],
    )


def installed() -> dict[str, str]:
    """Return all packages that are installed, with their versions."""
    from importlib import metadata

    return {one.metadata["Name"]: one.version for one in metadata.distributions()}


def _package(name: str, tell: Callable[[str], None]) -> Package:
    if not available(name):
        return Package(name=name, status="missing", advice=install_command([name]))
    tell(f"Importing {name}")
    found = version(_DISTRIBUTIONS.get(name, name)) or version(name)
    command = [sys.executable, "-c", _IMPORT, name]
    try:
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_IMPORT_LIMIT_S,
            preexec_fn=ended_with_this(),
        )
    except subprocess.TimeoutExpired:
        reason = f"importing it took more than {_IMPORT_LIMIT_S:g} s"
        return Package(name=name, status="broken", version=found, advice=reason)
    if run.returncode:
        lines = run.stderr.strip().splitlines() or [f"it ended with status {run.returncode}"]
        return Package(name=name, status="broken", version=found, advice=lines[-1][:500])
    return Package(name=name, status="available", version=found)


def _temperatures(root: Path) -> dict[str, float]:
    """Source: the kernel's "Generic Thermal Sysfs driver", thousandths of a degree Celsius."""
    found = {}
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        number, kind = _number(zone / "temp"), _text(zone / "type")
        if number is not None:
            found[f"{zone.name} {kind}".strip()] = number / 1e3
    return found


def _clocks(root: Path) -> dict[str, float]:
    """Source: the kernel's "CPU Performance Scaling", kHz."""
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    files = {"now": "scaling_cur_freq", "least": "scaling_min_freq", "most": "scaling_max_freq"}
    numbers = {name: _number(folder / file) for name, file in files.items()}
    return {name: number / 1e3 for name, number in numbers.items() if number is not None}


def _devices(root: Path) -> Iterator[str]:
    for file, what in _DEVICE_FILES.items():
        if (root / file).exists():
            yield f"{what} (/{file})"
    for device in sorted(root.glob("sys/bus/usb/devices/*")):
        ids = f"{_text(device / 'idVendor')}:{_text(device / 'idProduct')}"
        if ids in _USB_DEVICES:
            yield f"{_USB_DEVICES[ids]} (USB {ids})"
    model = _text(root / "proc/device-tree/model").strip("\0")
    if model:
        yield f"board: {model}"


def _delegates(root: Path) -> Iterator[str]:
    for name, what in _DELEGATES.items():
        for folder in _LIBRARY_FOLDERS:
            found = sorted((root / folder).rglob(f"lib{name}.so*"))
            if found:
                yield f"{what}: /{found[0].relative_to(root)}"
                break


def _warnings(
    machine: Machine,
    memory_bytes: int | None,
    disk_bytes: int,
    temperatures_c: dict[str, float],
    packages: list[Package],
) -> Iterator[str]:
    if machine.governor not in (None, "performance"):
        yield (
            f"The frequency governor is {machine.governor}, so that the clock changes with the "
            "load: sudo cpupower frequency-set -g performance"
        )
    load, usable = (machine.load_average or [0.0])[0], machine.cpu_count or os.cpu_count() or 1
    if load > usable / 2:
        yield (
            f"The load is {load:.1f} on {usable} processors: something else runs, and will be in "
            "the latencies. Stop it, or see what it hides with edge-tester calibrate."
        )
    if memory_bytes is not None and memory_bytes < _LOW_MEMORY_BYTES:
        yield f"Only {memory_bytes >> 20} MiB of memory are free: models may be killed."
    if disk_bytes < _LOW_DISK_BYTES:
        yield f"Only {disk_bytes >> 20} MiB of the disk are free: free some for records and models."
    for zone, degrees in temperatures_c.items():
        if degrees > _HOT_C:
            yield f"{zone} is at {degrees:.0f} °C: let it cool, or it throttles."
    if platform.system() != "Linux":
        yield f"{platform.system()} tells less of memory, clocks and energy than Linux does."
    for one in packages:
        if one.status == "broken":
            yield f"{one.name} is installed and cannot be imported: {one.advice}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        # What is not there, or not for this user, is not told.
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
