import re

import pytest

from edge_tester.core.errors import OptionError, RecordError
from edge_tester.core.record import write_record
from edge_tester.scenarios import render_report
from edge_tester.scenarios._show import comparison, show
from tests.report.records import record, unknown


@pytest.fixture
def folder(tmp_path):
    write_record(record("one"), tmp_path / "one.json")
    write_record(record("two", scale_ns=20_000), tmp_path / "two.json")
    return tmp_path


def test_one_record_has_its_report_beside_it(folder, capsys):
    render_report.main([str(folder / "one.json")])
    assert f"Report: {folder / 'one.html'}\n" == capsys.readouterr().out
    assert "<h1>one</h1>" in (folder / "one.html").read_text("utf-8")


def test_several_records_are_compared_in_the_folder_of_the_first(folder, capsys):
    render_report.main([str(folder / "two.json"), str(folder / "one.json")])
    assert f"Report: {folder / 'report.html'}\n" == capsys.readouterr().out
    assert "<h1>2 runs compared</h1>" in (folder / "report.html").read_text("utf-8")


def test_a_folder_gives_all_its_records(folder, capsys):
    (folder / "other.json").write_text("{}")
    render_report.main([str(folder), "--output", str(folder / "all.md")])
    printed = capsys.readouterr()
    assert f"Report: {folder / 'all.md'}\n" == printed.out
    assert "other.json is no run record" in printed.err
    assert (folder / "all.md").read_text("utf-8").startswith("# 2 runs compared\n")


def test_a_baseline_is_named(folder, capsys):
    render_report.main([str(folder), "--baseline", "two"])
    text = (folder / "report.html").read_text("utf-8")
    assert "The baseline is two" in text
    assert 'href="one.json"' in text
    with pytest.raises(OptionError, match="--baseline"):
        render_report.main([str(folder), "--baseline", "three"])


def test_restructured_text(folder):
    render_report.main([str(folder / "one.json"), "--output", str(folder / "new" / "one.rst")])
    assert (folder / "new" / "one_plots").is_dir()


def test_another_suffix_is_refused_before_anything_is_read(folder):
    with pytest.raises(OptionError, match=r"\.html, \.rst or \.md, got"):
        render_report.main([str(folder / "missing.json"), "--output", "report.pdf"])


def test_a_folder_without_records(tmp_path):
    with pytest.raises(RecordError, match="holds no run record"):
        render_report.main([str(tmp_path)])


@pytest.mark.parametrize("content", [None, "no JSON", "{}", '{"schema_version": 99}'])
def test_what_is_no_record(tmp_path, content):
    path = tmp_path / "record.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordError, match=r"record\.json"):
        render_report.main([str(path)])


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        render_report.main(["-h"])
    assert 0 == stopped.value.code
    assert "--output" in capsys.readouterr().out


def test_the_comparison_on_a_terminal_fits_80_columns(capsys):
    comparison([record("one"), record("[bold]" + "x" * 40, count=60)])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "97.49" in text
    assert "about 239" in text
    assert "27.40" in text
    assert "KiB" in text
    # A name is not folded into fewer letters than a row can be found by.
    assert "[bold]" + "x" * 14 in text


def test_a_comparison_of_unknown_figures_fits_too(capsys):
    comparison([record("x" * 40), unknown()])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "None" not in text
    assert "MiB" in text


def test_the_screen_says_what_the_page_says(tmp_path, capsys):
    one = record("one")
    show(one, tmp_path / "one.json")
    screen = capsys.readouterr().out
    render_report.main([str(_written(one, tmp_path))])
    page = (tmp_path / "one.html").read_text("utf-8")
    for line in one.summary().splitlines()[1:]:
        name, value = re.split("  +", line, maxsplit=1)
        assert value in screen
        number = value.partition(" of ")[0]
        assert f">{name}</dt><dd>{number}<" in page


def _written(one, folder):
    path = folder / f"{one.name}.json"
    write_record(one, path)
    return path
