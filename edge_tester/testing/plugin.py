"""What every plugin must keep to, whatever its role."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from edge_tester.core.backends import EXTRAS
from edge_tester.core.options import Configurable, json_schema, options_of, summary_of
from edge_tester.core.record import require_encodable

_PROJECT = Path(__file__).parents[2]
# All that a target agent may rely on.
_BARE_PACKAGES = ("numpy", "numpy.libs", "msgspec")


def _suite_of(test: type) -> str:
    """Return the first sentence of the suite that a test inherits."""
    suites = (c for c in test.__mro__ if c.__module__.startswith("edge_tester.testing."))
    suite = next(suites)
    return f"{suite.__name__}: {(suite.__doc__ or '').partition('.')[0]}"


def _output_of(command: list[str], path: str) -> list[str]:
    """Return the words that a process of Python prints which finds its modules there."""
    environment = {**os.environ, "PYTHONPATH": path}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert 0 == finished.returncode, finished.stderr
    return finished.stdout.split()


@functools.cache
def _loaded_by(module: str) -> frozenset[str]:
    """Return the packages that importing a module loads; many classes may be of one."""
    script = (
        "import importlib, sys\n"
        "importlib.import_module(sys.argv[1])\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    return frozenset(_output_of([sys.executable, "-c", script, module], os.pathsep.join(sys.path)))


def lacking(suite: type, fixture: str) -> NotImplementedError:
    """Return the error of a test that gives no such fixture of its suite."""
    wanted = (inspect.getdoc(getattr(suite, fixture)) or "").partition("\n")[0]
    return NotImplementedError(
        f"{suite.__name__} must define the fixture {fixture!r} ({wanted.rstrip('.')}): "
        f"{_suite_of(suite)}."
    )


class PluginConformance:
    """A subclass must name the plugin and the options it cannot do without."""

    cls: ClassVar[type[Configurable]]
    """The plugin."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Options of the instances that the suite makes; the required ones at least."""

    def __getattr__(self, name: str) -> Any:
        """Say which attribute a test lacks, where it lacks one; only called then."""
        suite = type(self)
        if any(name in vars(base).get("__annotations__", {}) for base in suite.__mro__):
            raise AttributeError(
                f"{suite.__name__} must set the class attribute {name!r}: {_suite_of(suite)}."
            )
        raise AttributeError(f"{suite.__name__!r} has no attribute {name!r}")

    def lacking(self, fixture: str) -> NotImplementedError:
        """Return the error of a test that gives no such fixture."""
        return lacking(type(self), fixture)

    def test_options_can_be_recorded(self) -> None:
        """Options go into the record of a run: no numbers or texts of numpy among them."""
        require_encodable(options=self.cls.from_options(self.options).to_options())

    def test_has_a_summary(self) -> None:
        """The first line of the docstring is what help texts and lists show."""
        summary = summary_of(self.cls)
        # What dataclass makes up where there is none begins so.
        assert summary and not summary.startswith(f"{self.cls.__name__}(")

    def test_has_no_init_of_its_own(self) -> None:
        """Options are declared, so that construction does no work."""
        # The source of what dataclass generates is no file.
        assert "<string>" == inspect.unwrap(self.cls.__init__).__code__.co_filename

    def test_importing_loads_no_backend(self) -> None:
        """Plugins are listed without importing what they need to work."""
        assert set() == _loaded_by(self.cls.__module__) & set(EXTRAS)

    def test_options_have_defaults_that_are_allowed(self) -> None:
        """What is not said is checked like what is said."""
        for declared in options_of(self.cls):
            if not declared.required:
                declared.checked(declared.default, self.cls.__name__)

    def test_flags_and_mapping_give_the_same(self) -> None:
        """The command line, YAML and Python are three spellings of one thing."""
        expected = self.cls.from_options(self.options)
        parser, _ = self.cls.form_argparse()
        actual = self.cls.from_argparse(parser.parse_args(self._flags(expected.to_options())))
        assert expected == actual
        assert expected == self.cls.from_options(expected.to_options())

    def test_schema_describes_every_option(self) -> None:
        """Editors and YAML files are checked against the schema."""
        expected = {declared.name for declared in options_of(self.cls)}
        assert expected == set(json_schema(self.cls)["properties"])

    def bare_python(self, script: str, folder: Path) -> list[str]:
        """Return the words that a script prints where only numpy and msgspec are installed.

        Parameters
        ----------
        script : str
        folder : Path
            An empty folder, for links to what shall be found.
        """
        for name in _BARE_PACKAGES:
            for path in sys.path:
                if (Path(path) / name).is_dir() and not (folder / name).exists():
                    (folder / name).symlink_to(Path(path) / name)
        spec = importlib.util.find_spec(self.cls.__module__.partition(".")[0])
        own = Path(spec.origin).parents[1] if spec and spec.origin else _PROJECT
        path = os.pathsep.join(map(str, (folder, _PROJECT, own)))
        # -S leaves out the folder where packages are installed.
        return _output_of([sys.executable, "-S", "-c", script, self.cls.__module__], path)

    def _flags(self, options: Mapping[str, Any]) -> list[str]:
        flags: list[str] = []
        # What is off unless said otherwise has no flag that turns it off.
        switches = {d.name for d in options_of(self.cls) if d.default is False}
        for name, value in options.items():
            flag = name.replace("_", "-")
            if value is False and name in switches:
                continue
            if isinstance(value, bool):
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            elif value is not None:
                flags += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
        return flags
