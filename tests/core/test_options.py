import argparse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tester.core.errors import OptionError
from edge_tester.core.options import (
    Configurable,
    hint,
    json_schema,
    option,
    options_of,
    state,
    summary_of,
)
from edge_tester.scenarios._flags import combine, from_flags


class Everything(Configurable):
    """Has options of all kinds.

    And a second paragraph.
    """

    path: Path = option(help="Some file")
    count: int = option(3, minimum=1, maximum=9, help="Some number")
    ratio: float = option(0.5, minimum=0, help="Share of 100 %", unit="s")
    kind: str = option("a", choices=("a", "b"), help="Some choice")
    loud: bool = option(False, help="Whether to shout")
    sizes: tuple[int, ...] = option((), help="Some sizes")
    name: str | None = option(None, help="Some name")
    seen: list[int] = state(default_factory=list)
    last: int = state(0)


class Derived(Everything):
    """Adds one and changes one."""

    extra: int = option(0, help="One more")
    count: int = option(5, minimum=1, help="Another default")


def parsed(*flags):
    parser, _ = Everything.form_argparse()
    return Everything.from_argparse(parser.parse_args(flags))


def test_defaults():
    expected = {
        "path": "x",
        "count": 3,
        "ratio": 0.5,
        "kind": "a",
        "loud": False,
        "sizes": [],
        "name": None,
    }
    assert expected == Everything(path=Path("x")).to_options()


def test_flags_mapping_and_keywords_agree():
    expected = Everything(path=Path("x"), count=4, loud=True, sizes=(1, 2), name="n", kind="b")
    flags = "--path x --count 4 --loud --sizes 1 2 --name n --kind b".split()
    assert expected == parsed(*flags)
    assert expected == Everything.from_options(expected.to_options())


def test_state_is_no_option_and_not_shared():
    first, second = Everything(path=Path("x")), Everything(path=Path("x"))
    first.seen.append(1)
    first.last = 7
    assert [] == second.seen
    assert first == second
    assert "seen" not in first.to_options()
    with pytest.raises(OptionError, match="no option 'seen'"):
        Everything.from_options({"path": "x", "seen": []})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("count", 0, "at least 1"),
        ("count", 10, "at most 9"),
        ("count", 1.0, "of type int"),
        ("count", "3", "of type int"),
        ("count", True, "of type int"),
        ("count", None, "of type int"),
        ("ratio", float("nan"), "at least 0"),
        ("ratio", "0.5", "of type float"),
        ("kind", "c", "one of a, b"),
        ("loud", 1, "of type bool"),
        ("sizes", 3, "a list of int"),
        ("sizes", "34", "a list of int"),
        ("sizes", [1, "2"], "of type int"),
        ("name", 5, "of type str"),
        ("path", "", "of type Path"),
        ("path", 5, "of type Path"),
    ],
)
def test_refusals_say_whose_allowed_and_got(name, value, allowed):
    shown = repr(value[1]) if isinstance(value, list) else repr(value)
    with pytest.raises(OptionError) as caught:
        Everything.from_options({"path": "x", name: value})
    assert f"Everything.{name} must be {allowed}, got {shown}." == str(caught.value)


@given(st.integers(1, 9), st.floats(0, 1e9), st.sampled_from("ab"), st.booleans())
def test_plain_options_come_back(count, ratio, kind, loud):
    expected = Everything(path=Path("x"), count=count, ratio=ratio, kind=kind, loud=loud)
    assert expected == Everything.from_options(expected.to_options())


def test_an_integer_serves_as_float():
    assert 2.0 == Everything(path=Path("x"), ratio=2).ratio
    assert isinstance(Everything(path=Path("x"), ratio=2).ratio, float)


def test_unknown_keys_are_answered_with_a_suggestion():
    with pytest.raises(OptionError, match="no option 'coutn'; did you mean 'count'?"):
        Everything.from_options({"path": "x", "coutn": 3})


def test_missing_required_options_are_named():
    with pytest.raises(OptionError, match=r"Everything.path is required \(Some file\)"):
        Everything.from_options({})


def test_an_own_init_is_refused():
    with pytest.raises(TypeError, match="must not define __init__"):

        class Wrong(Configurable):
            def __init__(self):
                pass


def test_inherited_options_come_first_and_can_change():
    expected = ["path", "count", "ratio", "kind", "loud", "sizes", "name", "extra"]
    assert expected == [declared.name for declared in options_of(Derived)]
    assert (5, 3) == (Derived(path=Path("x")).count, Everything(path=Path("x")).count)


def test_help_shows_units_defaults_and_percent_signs(capsys):
    with pytest.raises(SystemExit):
        combine(argparse.ArgumentParser(), [Everything]).parse_args(["-h"])
    shown = capsys.readouterr().out
    assert "Everything (Has options of all kinds)" in shown
    assert "Share of 100 % [s] (default: 0.5)" in " ".join(shown.split())
    assert "Some file (required)" in shown
    assert "--loud" in shown


def test_flags_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit):
        parsed("--path", "x", "--cou", "4")


def test_two_owners_of_a_flag_are_named():
    class Other(Configurable):
        """Has the same option."""

        count: int = option(1, help="The same")

    with pytest.raises(OptionError, match="--count is declared by both Everything and Other"):
        combine(argparse.ArgumentParser(), [Everything, Other])


def test_schema_is_what_json_schema_validators_take():
    import jsonschema

    schema = json_schema(Everything)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert validator.is_valid(Everything(path=Path("x"), name="n").to_options())
    for wrong in ({}, {"path": "x", "count": 0}, {"path": "x", "other": 1}):
        assert not validator.is_valid(wrong)


def test_hints():
    assert "; did you mean 'input_mean'?" == hint("input-mena", ["input_mean", "x"])
    assert "; there are a, b." == hint("zzz", ["b", "a"])
    assert "; there are none." == hint("zzz", [])


def test_summary_is_the_first_line():
    assert "Has options of all kinds" == summary_of(Everything)


def test_a_flag_that_gives_way_is_named_by_its_module():
    class Yielding(Configurable):
        """Has an option that another class may have too."""

        size: int = option(1, help="A size", gives_way=True)

    class Owning(Configurable):
        """Has the same."""

        size: str = option("a", help="Another size")

    Yielding.__module__ = "somewhere.its_file"
    alone = combine(argparse.ArgumentParser(), [Yielding])
    assert 5 == from_flags(Yielding, alone.parse_args(["--size", "5"]), [Yielding]).size
    classes = [Yielding, Owning]
    flags = combine(argparse.ArgumentParser(), classes).parse_args(
        ["--size", "b", "--its-file-size", "7"]
    )
    assert 7 == from_flags(Yielding, flags, classes).size
    assert "b" == from_flags(Owning, flags, classes).size


@pytest.mark.parametrize(
    "annotation",
    [
        list[int],
        tuple[int, int],
        tuple[list[int], ...],
        dict[int, str],
        dict[str, list[int]],
        int | str,
        int | str | None,
        bytes,
        object,
        None,
    ],
)
def test_types_that_no_option_has_are_refused_when_the_class_is_made(annotation):
    with pytest.raises(TypeError, match="Strange.odd is annotated .*; an option is of type str"):
        type(
            "Strange",
            (Configurable,),
            {"__annotations__": {"odd": annotation}, "odd": option((), help="Odd")},
        )


class Containers(Configurable):
    """Has lists and mappings, which may be left out."""

    paths: tuple[Path, ...] | None = option(None, help="Some files")
    shares: dict[str, float] | None = option(None, minimum=0, help="Some shares")
    names: dict[str, str] | None = option(None, help="Some names")


def test_lists_and_mappings_that_may_be_left_out():
    assert {"paths": None, "shares": None, "names": None} == Containers().to_options()
    given = {"paths": ["a", "b"], "shares": {"x": 1}, "names": {"n": "m"}}
    made = Containers.from_options(given)
    assert (Path("a"), Path("b")) == made.paths
    assert {"x": 1.0} == made.shares
    assert given == made.to_options()
    parser, _ = Containers.form_argparse()
    words = ["--paths", "a", "b", "--shares", "x=1", "--names", "n=m"]
    assert made == Containers.from_argparse(parser.parse_args(words))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shares", {"x": -1}, "at least 0, got -1.0"),
        ("shares", {"x": "1"}, "a mapping of names to float"),
        ("shares", [1], "a mapping of names to float"),
        ("names", {1: "x"}, "a mapping of names to str"),
        ("paths", "ab", "a list of Path"),
        ("paths", ["a", ""], "of type Path, got ''"),
    ],
)
def test_refusals_of_lists_and_mappings(name, value, said):
    with pytest.raises(OptionError, match=f"Containers.{name} must be {said}"):
        Containers.from_options({name: value})


@pytest.mark.parametrize("words", [["--shares", "x"], ["--shares", "x=y"]])
def test_pairs_on_a_command_line_are_read_or_refused(words, capsys):
    parser, _ = Containers.form_argparse()
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert "--shares" in capsys.readouterr().err


def test_what_is_assigned_later_is_checked_too():
    made = Derived(path=Path("x"))
    made.path = "y"
    assert Path("y") == made.path
    with pytest.raises(OptionError, match="Derived.count must be at least 1, got 0"):
        made.count = 0
    with pytest.raises(OptionError, match="Derived.kind must be one of a, b, got 'c'"):
        made.kind = "c"
    assert 5 == made.count
    # Working state is nobody's business.
    made.last = "anything"


def test_numbers_and_texts_of_numpy_become_plain_ones():
    made = Everything.from_options(
        {"path": np.str_("x"), "ratio": np.float64(0.25), "kind": np.str_("b")}
    )
    assert (float, str) == (type(made.ratio), type(made.kind))
