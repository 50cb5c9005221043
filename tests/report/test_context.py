import math

import msgspec
import pytest

from edge_tester.core.figures import Quality
from edge_tester.core.measurements import Cpu
from edge_tester.core.statistics import percentile
from edge_tester.report import render_html, render_text
from edge_tester.report._figures import Value, measure_all
from edge_tester.report.context import distinct, report_of
from tests.report.records import classification, record, unknown


def test_the_figures_are_those_of_the_record():
    one = record()
    values = measure_all(one)
    assert percentile(one.latency.target_ns, 0.99) == values["p99"].number
    assert one.cpu.time_ns / 359 == values["cpu"].number
    assert 350 / 359 == pytest.approx(values["accuracy"].number)
    low, high = values["p50"].interval
    assert low <= values["p50"].number <= high


def test_a_percentile_that_the_sample_does_not_support_says_what_it_needs():
    values = measure_all(record(count=60))
    assert Value(None, None, 239) == values["p99"]
    assert values["p90"].number is not None


def test_too_few_latencies_for_a_percentile_are_shown_one_by_one():
    one = record()
    latency = msgspec.structs.replace(one.latency, target_ns=[9_541, 2_000_000])
    few = report_of([msgspec.structs.replace(one, latency=latency)]).views[0]
    assert ("Latency of each inference", "9.541 µs, 2.000 ms") == (
        few.figures[-1].title,
        few.figures[-1].text,
    )
    assert "Latency of each inference" not in {f.title for f in report_of([one]).views[0].figures}


def test_a_figure_of_the_host_is_never_among_the_figures():
    view = report_of([record()]).views[0]
    assert not any("Host" in figure.title for figure in view.figures)
    assert ["Host's time p50", "Host's time p90", "Host's time p99"] == [
        figure.title for figure in view.host_view
    ]


def test_without_host_times_there_is_no_view_of_the_host():
    one = record()
    one = msgspec.structs.replace(one, latency=msgspec.structs.replace(one.latency, host_ns=[]))
    assert [] == report_of([one]).views[0].host_view


def test_nothing_is_known():
    values = measure_all(unknown())
    assert {None} == {value.number for key, value in values.items() if key != "size"}


def test_processor_time_without_inferences_is_unknown():
    assert measure_all(record(count=0, cpu=Cpu(time_ns=5)))["cpu"].number is None


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_no_run_is_called_the_best(four, tmp_path, suffix):
    path = tmp_path / f"report{suffix}"
    (render_html if suffix == ".html" else render_text)(four, path)
    text = path.read_text("utf-8")
    for claim in ("fastest", "Fastest", "Smallest", "Most accurate", "more than chance", " *<"):
        assert claim not in text


def test_unlike_runs_are_told(four):
    assert [] == report_of(four).cautions
    unlike = msgspec.structs.replace(four[0], batch_size=8)
    assert ["The runs differ in the number of samples per inference."] == [
        caution.removesuffix(" Compare their figures with care.")
        for caution in report_of([*four, unlike]).cautions
    ]


def test_equal_names_are_numbered():
    assert ["a (1)", "b", "a (3)", "a (2)"] == distinct(["a", "b", "a", "a (2)"])


def test_regression_has_its_own_columns():
    quality = Quality(task="regression", samples=9, mse=0.25, mae=0.5, r2=None)
    columns = {c.title: c for c in report_of([record(quality=quality), record()]).columns}
    assert ["0.2500", "not available"] == [c.text for c in columns["Mean squared error"].cells]
    assert ["not available"] * 2 == [c.text for c in columns["R²"].cells]


def test_a_run_without_a_task_has_no_quality():
    quality = Quality(task="none", samples=9)
    view = report_of([record(quality=quality)]).views[0]
    assert "Accuracy" not in {figure.title for figure in view.figures}
    assert view.classes is None and view.mistakes is None


def test_mistakes_are_counted():
    view = report_of([record(quality=classification(hits=357))]).views[0]
    assert [["digit 7", "digit 8", "1 of 36"], ["digit 8", "digit 9", "1 of 36"]] == (
        view.mistakes.rows
    )


def test_wilson_interval_of_accuracy():
    interval = measure_all(record(quality=classification(samples=10, hits=10)))["accuracy"].interval
    # With all hits the lower end is 1 / (1 + z² / n).
    assert (pytest.approx(1 / (1 + 1.959964**2 / 10)), 1.0) == interval
    assert not math.isnan(interval[0])
