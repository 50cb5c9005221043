import sys

import pytest

from edge_tester.core import registry
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import PluginError
from edge_tester.datasets.digits import DigitsDataset


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """A folder from which modules can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("third_party")]:
        del sys.modules[name]


@pytest.mark.parametrize("role", registry.ROLES)
def test_every_plugin_that_is_listed_can_be_loaded(role):
    for name in registry.names(role):
        assert role == registry.role_of(registry.load(role, name))


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "datasets.digits",
        "edge_tester.datasets.digits.DigitsDataset",
        "edge_tester.datasets.digits:DigitsDataset",
    ],
)
def test_names_of_all_kinds(name):
    assert DigitsDataset is registry.load("datasets", name)


def test_path_of_is_what_load_takes():
    path = registry.path_of(DigitsDataset)
    assert DigitsDataset is registry.load("datasets", path)


def test_shared_and_private_modules_are_no_plugins():
    names = registry.names("datasets") | registry.names("modelwrappers")
    assert "digits" in names
    assert not any(name.startswith("_") for name in names)
    assert not any("frameworks" in module for module in names.values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("digit", "No dataset is named 'digit'; did you mean 'digits'?"),
        ("edge_tester.datasets.nothing.Digits", "there is no module edge_tester.datasets.nothing"),
        ("nowhere.at.All", "there is no module nowhere"),
        ("edge_tester.datasets.digits.Digits", "no plugin class 'Digits'"),
        ("edge_tester.datasets.digits.MAXIMUM_PIXEL", "no plugin class"),
        ("edge_tester.core.model.TrainingPlan", "does not inherit from Dataset"),
    ],
)
def test_what_does_not_exist_is_named(name, reason):
    with pytest.raises(PluginError) as caught:
        registry.load("datasets", name)
    assert reason in str(caught.value)


def test_a_class_of_another_role_is_refused():
    with pytest.raises(PluginError, match="is no compiler: it does not inherit from ModelCompiler"):
        registry.load("compilers", "edge_tester.datasets.digits.DigitsDataset")


def test_a_broken_plugin_shows_its_own_error(third_party):
    (third_party / "third_party_broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(PluginError, match=r"nothing_of_this_name.*third_party_broken.py, line 1"):
        registry.load("datasets", "third_party_broken.Broken")


def test_a_broken_folder_of_plugins_does_not_vanish(tmp_path, monkeypatch):
    import edge_tester.datasets

    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "__init__.py").write_text("import nothing_of_this_name")
    paths = [*edge_tester.datasets.__path__, str(tmp_path)]
    monkeypatch.setattr(edge_tester.datasets, "__path__", paths)
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        registry.names("datasets")


def test_entry_points_add_plugins(third_party):
    (third_party / "third_party_data.py").write_text(
        "from edge_tester.core.dataset import Dataset\n"
        "class Own(Dataset):\n"
        "    '''Own samples.'''\n"
    )
    information = third_party / "third_party-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: third_party\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[edge_tester.datasets]\nown = third_party_data:Own\nmodule = third_party_data\n"
    )
    assert "third_party_data:Own" == registry.names("datasets")["own"]
    found = registry.load("datasets", "own")
    assert issubclass(found, Dataset)
    assert found is registry.load("datasets", "module")
    assert "datasets" == registry.role_of(found)


def test_a_class_without_a_role():
    with pytest.raises(PluginError, match="plays none of"):
        registry.role_of(dict)
