"""Which files a session needs: Python, its packages, libraries, the kernel's tables, devices."""

from __future__ import annotations

import contextlib
import functools
import glob
import importlib.util
import os
import site
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import edge_tester
from edge_tester.core.agent import isolation_files as files
from edge_tester.core.agent.isolation_files import Rule

# What the system has for every program. Of its settings: what the loader, time zones, OpenSSL and
# drivers of accelerators read, and neither names nor passwords nor keys.
_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload"),
    *("/etc/localtime", "/etc/timezone", "/etc/ssl/openssl.cnf"),
    *("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/pki/tls/openssl.cnf", "/etc/ca-certificates"),
    *("/etc/OpenCL", "/etc/vulkan", "/etc/nv_tegra_release"),
)
# The kernel's tables; of processes, its own alone, so that no command line of another is read.
_KERNEL = (
    *("cpuinfo", "devices", "device-tree", "driver", "filesystems", "interrupts", "loadavg"),
    *("meminfo", "modules", "pressure", "schedstat", "stat", "sys", "uptime", "version"),
    *("vmstat", "zoneinfo"),
)
# What tells of processors, devices and limits. To root the rest shows what others do (tracing,
# debug), what the firmware keeps (efivars) and what crashed (pstore).
_SYS = (
    *("block", "bus", "class", "dev", "devices", "module", "fs/cgroup", "kernel/mm"),
    *("firmware/devicetree", "hypervisor"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
# Of NVIDIA, Mesa's drivers, Coral on PCIe, AMD, ARM Mali, NPUs of Rockchip, NXP and Intel, Tegra.
_ACCELERATORS = (
    *("nvidia*", "nvhost*", "nvmap", "nvgpu", "dri", "apex_*", "kfd", "mali*", "accel", "galcore"),
    *("rknpu*", "ethosu*", "dma_heap", "ion", "vchiq", "vcio"),
)


def rules(
    own: Path, models: Path, named: Collection[str], modules: Collection[str]
) -> Iterator[Rule]:
    """Give what a session may do with which files.

    Parameters
    ----------
    own : Path
        Folder to which it may write.
    models : Path
        Folder from which it reads its model.
    named : collection of str
        What the owner named: libraries, files, devices.
    modules : collection of str
        Dotted names of modules that the owner named.
    """
    yield Rule(own, files.OWN)
    yield Rule(models, files.READ_FILE | files.READ_DIR)
    for path in {*_SYSTEM, *_python(), *_libraries()}:
        yield Rule(Path(path), files.READ)
    yield from _modules(modules)
    for name in _SYS:
        yield Rule(Path("/sys") / name, files.READ_FILE | files.READ_DIR)
    for name in _KERNEL:
        yield Rule(Path("/proc") / name, files.READ_FILE | files.READ_DIR)
    yield Rule(Path("/proc/self"), files.READ_FILE | files.READ_DIR)
    # To begin the peak of its memory anew.
    yield Rule(Path("/proc/self/clear_refs"), files.WRITE_FILE | files.TRUNCATE)
    for name in _DEVICES:
        yield Rule(Path("/dev") / name, files.DEVICE)
    for pattern in _ACCELERATORS:
        for path in glob.glob(f"/dev/{pattern}"):
            yield Rule(Path(path), files.DEVICE)
    for path in named:
        place = Path(path).absolute()
        yield Rule(place, files.DEVICE if place.is_relative_to("/dev") else files.READ)


def _python() -> Iterator[str]:
    """Give the folders of the interpreter, and those from which it imports."""
    yield from (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    yield from edge_tester.__path__
    chosen = {os.path.abspath(one) for one in _words("PYTHONPATH")}
    for number, entry in enumerate(sys.path):
        path = os.path.abspath(entry)
        # The first is where the agent was started, with whatever else lies there.
        if (number or path in chosen) and not _wide(path):
            yield path
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()


def _libraries() -> Iterator[str]:
    yield from (os.path.abspath(one) for one in _words("LD_LIBRARY_PATH") if not _wide(one))


def _modules(names: Collection[str]) -> Iterator[Rule]:
    """Give where the packages are of modules that the owner named, wherever that is."""
    for name in names:
        try:
            found = importlib.util.find_spec(name.partition(".")[0])
        except (ImportError, ValueError):
            # Whoever imports it says that it is not there.
            continue
        if found is None:
            continue
        # One that is built in has no place.
        single = [found.origin or ""] if found.has_location else []
        for place in found.submodule_search_locations or single:
            folder = os.path.dirname(place)
            if _wide(folder):
                # Python looks at names before it opens a module.
                yield Rule(Path(folder), files.READ_DIR)
                yield Rule(Path(place), files.READ)
            else:
                # What it imports lies beside it.
                yield Rule(Path(folder), files.READ)


def _wide(path: str) -> bool:
    """Tell whether much else lies beneath a folder: a home, what has homes, a common folder."""
    place = Path(os.path.realpath(path))
    return any(one == place or place in one.parents for one in _common())


@functools.cache
def _common() -> tuple[Path, ...]:
    import pwd

    found = ["/home/anybody", "/root", "/tmp", "/var/tmp", "/etc"]
    # Not HOME, which is the session's own folder. In a container a user may have no entry.
    with contextlib.suppress(KeyError):
        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    return tuple(Path(os.path.realpath(one)) for one in found)


def _words(name: str) -> list[str]:
    return [one for one in os.environ.get(name, "").split(os.pathsep) if one]


def needed() -> list[str]:
    """Return what no session can do without."""
    return [sys.base_prefix, *edge_tester.__path__]
