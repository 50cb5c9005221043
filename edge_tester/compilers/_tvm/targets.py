"""What TVM compiles for, and how the result is linked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError

_NAMED = {
    # What is made for the A72 runs on the A76 as well.
    "aarch64": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"},
    # Of the Raspberry Pi 4 and 5.
    "aarch64-a72": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72"},
    "aarch64-a76": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"},
}
# What LLVM's triples have where Debian's have nothing, or another name.
_VENDORS = frozenset({"unknown", "pc", "none"})
_MACHINES = {"arm64": "aarch64", "i386": "i686", "i586": "i686", "ppc64le": "powerpc64le"}
_DEBIAN = frozenset(
    "aarch64-linux-gnu arm-linux-gnueabi arm-linux-gnueabihf i686-linux-gnu x86_64-linux-gnu "
    "riscv64-linux-gnu powerpc64le-linux-gnu s390x-linux-gnu mips64el-linux-gnuabi64 "
    "mipsel-linux-gnu".split()
)
# What a vector register holds where nothing wider is known: 128 bits of float32.
_LANES = 4


def parsed(tvm: Any, name: str, needed_by: object) -> Any:
    """Return the target of that name; ``llvm`` is this machine with all its features.

    Raises
    ------
    CompilationError
        TVM knows no such target.
    """
    description: Any = _NAMED.get(name, name)
    try:
        if name == "llvm":
            description = _this_machine(tvm, needed_by)
        elif name.lstrip().startswith("{"):
            description = json.loads(name)
        return tvm.target.Target(description)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise CompilationError(
            f"TVMCompiler.target must be llvm, {', '.join(_NAMED)} or a target that TVM knows, "
            f"got {name!r}: {reason}"
        ) from error


def linker(tvm: Any, target: Any, needed_by: object) -> Callable[..., Any]:
    """Return what links object files for the host of a target.

    A cross compiler is found by the GNU convention, the triple and ``-gcc``.

    Raises
    ------
    CompilationError
        The compiler is missing; the message names the package.
    """
    compilers: Any = backend("tvm.support.cc", needed_by)
    triple = _triple(target)
    if not triple:
        if compilers.get_cc() is None:
            raise CompilationError("TVMCompiler needs a C compiler to link: install gcc.")
        shared: Callable[..., Any] = compilers.create_shared
        return shared
    debian = debian_triple(triple)
    commands = [f"{one}-gcc" for one in dict.fromkeys((triple, debian)) if one]
    command = next((one for one in commands if shutil.which(one)), None)
    if command is None:
        package = f"in Debian and Ubuntu the package gcc-{debian.replace('_', '-')}"
        raise CompilationError(
            f"TVMCompiler needs {' or '.join(commands)} to link for {triple}: install the cross "
            f"compiler, {package if debian else 'for which Debian has no package'}."
        )
    cross: Callable[..., Any] = compilers.cross_compiler(command)
    return cross


def debian_triple(triple: str) -> str:
    """Return what Debian calls a system of Linux; empty if it has no cross compiler for it.

    Source: the packages ``gcc-*-linux-gnu*`` of Debian 12, whose names have a dash for the
    underscore of their commands.
    """
    machine, *rest = [word for word in triple.split("-") if word not in _VENDORS]
    machine = "arm" if machine.startswith("armv") else _MACHINES.get(machine, machine)
    found = "-".join([machine, *rest])
    return found if found in _DEBIAN else ""


def is_this_machine(target: Any) -> bool:
    """Tell whether what is compiled for a target runs here."""
    return bool(target.kind.name == "llvm") and not _triple(target)


def elsewhere(target: Any, name: str) -> str:
    """Return why what is compiled for a target may not run here; empty if it does."""
    if is_this_machine(target) and (name == "llvm" or not target.attrs.get("mcpu")):
        return ""
    return f"it was compiled for {name}"


def lanes(tvm: Any, target: Any) -> int:
    """Return how many float32 a vector register of the target holds."""
    features = {str(name) for name in tvm.target.codegen.llvm_get_cpu_features(target)}
    # Not llvm_get_vector_width: it says 512 bits of processors with AVX2 too.
    if "avx512f" in features:
        return 16
    return 8 if "avx" in features else _LANES


def _this_machine(tvm: Any, needed_by: object) -> dict[str, Any]:
    codegen: Any = backend("tvm.target.codegen", needed_by)
    target = {"kind": "llvm", "mcpu": str(codegen.llvm_get_system_cpu())}
    found = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")()
    # A hypervisor may hide what processors of that name have.
    hidden = {str(name) for name, present in found.items() if not present}
    implied = {str(name) for name in codegen.llvm_get_cpu_features(tvm.target.Target(target))}
    missing = [f"-{name}" for name in sorted(hidden & implied)]
    return {**target, "mattr": missing} if missing else target


def _triple(target: Any) -> str:
    host = target.host or target
    return str(host.attrs.get("mtriple", "") or "")
