"""The rules of docs/architecture.rst that can be read from the source or seen in a process."""

import ast
import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import edge_tester.testing
from edge_tester.core import registry
from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import EXTRAS
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import SampleClient, echo_model, running_agent, sample
from tests.layers import LAYERS

PROJECT = Path(__file__).parents[1]
LONGEST_FILE_LINES = 400
WAIT_LIMIT_S = 30

RANKS = {name: rank for rank, line in enumerate(LAYERS) for name in line.split()}
PACKAGES = {"edge_tester.core", *(name.rpartition(".")[0] for name in RANKS)}
# Folders that hold what the plugins of one role share.
SHARED = {"frameworks"}
# What imports by name: commands, plugins, backends, a function for a process of its own, a user's
# own network, and modules that the target's owner names.
IMPORTERS = {
    "edge_tester.__main__",
    "edge_tester.core.backends",
    "edge_tester.core.making.isolation",
    "edge_tester.core.registry",
    "edge_tester.runtimes._modules",
    "edge_tester.modelwrappers.frameworks.torch_factory",
}
# Scripts for environments in which nothing of edge_tester is.
SCRIPTS = ("edge_tester.compilers._tools.", "edge_tester.modelwrappers.frameworks._tf_keras_tool")
# What the target's supervisor imports; it waits for ever and must stay small.
SUPERVISOR = ("edge_tester.scenarios.inference_server", "edge_tester.runtimeprotocols.network")


class Import(NamedTuple):
    module: str
    names: tuple[str, ...]
    at_once: bool
    """Whether it happens when the importing module is imported."""


def _imports(tree: ast.AST, at_once: bool = True) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, (), at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", names, at_once)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node, False)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(node, at_once and not function)


@functools.cache
def sources() -> dict[str, ast.Module]:
    """The syntax tree of every module, by dotted name."""
    found = {}
    for path in sorted((PROJECT / "edge_tester").rglob("*.py")):
        name = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


@functools.cache
def imports_of(name: str) -> list[tuple[str, Import]]:
    """What a module imports: the module of ours or theirs that is meant, and the statement."""
    found = []
    for statement in _imports(sources()[name]):
        # "from package import module" means the module.
        inner = [f"{statement.module}.{n}" for n in statement.names]
        modules = [one for one in inner if one in sources()]
        if len(modules) < len(inner) or not inner:
            modules.append(statement.module)
        found += [(module, statement) for module in modules]
    return found


def ours(name: str) -> list[tuple[str, Import]]:
    return [(m, s) for m, s in imports_of(name) if m.startswith("edge_tester.")]


def modules_in(*folders: str) -> list[str]:
    return [name for name in sources() if name.split(".")[1:2] and name.split(".")[1] in folders]


def public_modules_in(*folders: str) -> list[str]:
    """The modules of plugins; those of their parts are reached from them, or not at once."""
    return [m for m in modules_in(*folders) if "._" not in m]


def test_every_module_of_the_core_has_its_layer():
    assert (
        set(RANKS) == {n.removeprefix("edge_tester.core.") for n in modules_in("core")} - PACKAGES
    )


@pytest.mark.parametrize("name", RANKS)
def test_imports_of_the_core_go_one_way(name):
    for module, _ in ours(f"edge_tester.core.{name}"):
        if module.removeprefix("edge_tester.core.") in PACKAGES:
            continue
        assert module.startswith("edge_tester.core."), f"the core imports {module}"
        imported = module.removeprefix("edge_tester.core.")
        assert RANKS[imported] < RANKS[name], f"{name} imports {imported}"


@pytest.mark.parametrize("name", modules_in(*registry.ROLES))
def test_plugins_import_the_core_and_what_they_inherit_from(name):
    role = name.split(".")[1]
    bases = {
        base.id if isinstance(base, ast.Name) else ast.unparse(base)
        for node in ast.walk(sources()[name])
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    for module, statement in ours(name):
        if module.split(".")[1] == "core":
            continue
        assert role == module.split(".")[1], f"{name} imports {module}"
        shared = "._" in module or SHARED & set(module.split("."))
        assert shared or set(statement.names) & bases, f"{name} imports {module}"


def test_what_is_private_is_used_in_its_own_folder():
    for name in sources():
        for module, _ in ours(name):
            parts = module.split(".")
            for place in (i for i, part in enumerate(parts) if part.startswith("_")):
                folder, private = ".".join(parts[:place]), ".".join(parts[: place + 1])
                beside = name.rpartition(".")[0] == folder or name.startswith(f"{private}.")
                shared = parts[place] == "_shared" or "frameworks" in parts
                allowed = beside or (shared and name.startswith(f"{folder}."))
                allowed |= name == "edge_tester.__main__"
                assert allowed, f"{name} imports {module}"


@pytest.mark.parametrize("name", modules_in("report", "testing"))
def test_reports_and_suites_import_the_core_alone(name):
    folder = name.split(".")[1]
    assert {m for m, _ in ours(name) if m.split(".")[1] not in ("core", folder)} == set()


def test_nothing_imports_commands_but_commands():
    for name in sources():
        if name.split(".")[1:2] in (["scenarios"], ["__main__"]):
            continue
        for module, _ in ours(name):
            assert module.split(".")[1] not in ("scenarios", "resources", "__main__"), name


@pytest.mark.parametrize("name", sources())
def test_nothing_is_imported_at_once_but_numpy_and_msgspec(name):
    allowed = {"numpy", "msgspec", "edge_tester"} | set(sys.stdlib_module_names)
    if name.startswith("edge_tester.testing"):
        allowed |= {"pytest"}
    if name in public_modules_in("runtimes", "runtimeprotocols"):
        allowed -= {"numpy"}
    found = {module.partition(".")[0] for module, s in imports_of(name) if s.at_once}
    assert found - allowed == set()


def test_backends_are_imported_in_one_place():
    allowed = {"numpy", "msgspec", "edge_tester"} | set(sys.stdlib_module_names)
    for name in sources():
        late = {module.partition(".")[0] for module, s in imports_of(name) if not s.at_once}
        assert late - allowed - _for_type_checkers(name) == set(), name


def test_nothing_is_imported_by_name_but_plugins_and_backends():
    """Neither a plugin past the registry nor a package past ``backend()``."""
    ways = {"import_module", "__import__", "exec_module"}
    for name, tree in sources().items():
        if name in IMPORTERS or name.startswith(SCRIPTS):
            continue
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert used & ways == set(), name


def _for_type_checkers(name: str) -> set[str]:
    blocks = [
        node
        for node in ast.walk(sources()[name])
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {one.module.partition(".")[0] for block in blocks for one in _imports(block)}


def test_the_supervisor_reaches_no_numpy():
    """Says by which way, where the test of the process below says only that it does."""
    waiting = [(name, (name,)) for name in (*SUPERVISOR, *public_modules_in("runtimes"))]
    seen = set()
    while waiting:
        name, way = waiting.pop()
        for module, statement in imports_of(name):
            if not statement.at_once or module in seen:
                continue
            assert module.partition(".")[0] != "numpy", " -> ".join((*way, "numpy"))
            seen.add(module)
            if module in sources():
                waiting.append((module, (*way, module)))


@pytest.mark.parametrize("folder", ["edge_tester", "tests", "benchmarks"])
def test_files_are_short(folder):
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text().splitlines())
        for path in (PROJECT / folder).rglob("*.py")
    }
    assert {p: n for p, n in lengths.items() if n > LONGEST_FILE_LINES} == {}


@pytest.mark.parametrize("role", registry.ROLES)
def test_base_classes_say_what_a_subclass_must_do(role):
    assert registry.base_of(role).__doc__.startswith("A subclass must ")


def test_suites_say_what_a_subclass_must_do():
    suites = [v for n, v in vars(edge_tester.testing).items() if n.endswith("Conformance")]
    assert len(suites) >= 5
    for suite in suites:
        assert suite.__doc__.startswith("A subclass must "), suite


def test_base_classes_name_their_suite():
    for role in registry.ROLES:
        documentation = registry.base_of(role).__doc__
        if "edge_tester.testing." in documentation:
            name = documentation.partition("edge_tester.testing.")[2].partition("`")[0]
            assert hasattr(edge_tester.testing, name), name


def loaded_by(script: str, *arguments: str) -> set[str]:
    """Top-level names of what a script imports beyond Python's own modules."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{script}\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - set(sys.stdlib_module_names)))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=PROJECT
    )
    assert 0 == finished.returncode, finished.stderr
    return set(finished.stdout.splitlines()[-1].split())


def test_importing_the_package_costs_nothing():
    assert {"edge_tester"} == loaded_by("import edge_tester")


def test_help_costs_nothing():
    script = "from edge_tester.__main__ import main; assert main() == 0"
    assert {"edge_tester"} == loaded_by(script, "--help")


def test_importing_every_module_loads_no_backend():
    names = [name for name in sources() if not name.endswith("__main__")]
    script = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    loaded = loaded_by(script)
    assert {"edge_tester", "numpy", "msgspec"} <= loaded
    assert loaded & (set(EXTRAS) | {"scipy", "rich_argparse"}) == set()


def wait_for(path: Path) -> None:
    end_s = time.monotonic() + WAIT_LIMIT_S
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < end_s, f"{path} did not come"
        time.sleep(0.02)


def mapped_libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_supervisor_stays_small_whatever_its_sessions_do(tmp_path):
    with running_agent(tmp_path) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        client.run_sample(sample())
        pid = agent.process.pid
        (session,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert "numpy" in mapped_libraries(int(session))
        assert "numpy" not in mapped_libraries(pid)
        client.disconnect()


def test_the_session_of_a_target_imports_the_runtime_and_little_else(tmp_path):
    """What it does not import need not be installed on a small target."""
    session, agent = tmp_path / "session.py", tmp_path / "agent.py"
    result, host = tmp_path / "imported.json", tmp_path / "agent"
    session.write_text(
        "import json, pathlib, sys\n"
        "before = set(sys.modules)\n"
        # Before it is isolated from such files.
        f"part = pathlib.Path({str(result)!r}).open('a')\n"
        "from edge_tester.core.agent.session_process import main\n"
        "main(sys.argv[1:])\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "names = sorted(names - set(sys.stdlib_module_names))\n"
        "part.write(json.dumps(names) + '\\n')\n"
        "part.close()\n"
    )
    agent.write_text(
        "import sys\n"
        "from edge_tester.core.agent.agent import Agent\n"
        "from edge_tester.runtimeprotocols.network import NetworkProtocol\n"
        "from edge_tester.runtimes.tflite import TFLiteRuntime\n"
        f"command = (sys.executable, {str(session)!r})\n"
        f"protocol = NetworkProtocol(host={str(host)!r})\n"
        "ready = lambda: print('ready', flush=True)\n"
        "Agent().serve(protocol, [TFLiteRuntime()], ready, session_command=command)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, str(agent)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline()
        client = SampleClient(NetworkProtocol(host=str(host)))
        client.connect(Hello(client="a test"))
        resources = importlib.import_module("edge_tester.resources").__path__[0]
        client.upload_model(Artifact.from_file(Path(resources) / "digits.tflite"))
        client.run_sample([np.zeros((1, 8, 8, 1), np.float32)])
        client.disconnect()
        wait_for(result)
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert 0 == process.returncode
    needed = loaded_by("import ai_edge_litert.interpreter, msgspec.json")
    assert not needed & {"tensorflow", "jax"}
    assert {"edge_tester"} == set(json.loads(result.read_text().splitlines()[0])) - needed
