import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from edge_tester.core.errors import OptionError
from edge_tester.core.figures import Quality
from edge_tester.core.record import ColdStart, Component, Memory, PatternFacts, Predictions
from edge_tester.core.results.figures import figure_of
from edge_tester.core.results.measures import MEASURES, measure_all
from edge_tester.core.results.values import Value
from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.percentileinterval import percentile_interval
from edge_tester.core.statistics.percentiles import percentile
from edge_tester.report import render_html, render_text
from edge_tester.report._baseline import agreement
from edge_tester.report.context import distinct, report_of
from tests.report.records import classification, many, record, replicate, unknown


def test_the_figures_are_those_of_the_record():
    one = record()
    values = measure_all(one)
    assert percentile(one.target_ns, 0.99) == values["p99"].number
    assert one.cpu_time_ns / 359 == values["cpu"].number
    assert 350 / 359 == pytest.approx(values["accuracy"].number)
    assert values["p50"].interval is None


def test_intervals_are_those_of_replicates():
    parts = [record(seed=seed, count=80).replicates[0] for seed in range(5)]
    parts[1] = replicate(parts[1].target_ns, cpu_time_ns=80 * 12_000, memory=Memory(peak_bytes=60))
    parts[2] = replicate(parts[2].target_ns, cpu_time_ns=800, cold_start=ColdStart(load_ns=1000))
    values = measure_all(record(replicates=parts))
    for key in ("p50", "p90", "cpu", "load", "first", "peak"):
        low, high = values[key].interval
        assert low <= values[key].number <= high
        assert not values[key].single
    medians = [percentile(one.target_ns, 0.5) for one in parts]
    assert replicate_interval(medians) == values["p50"].interval
    assert percentile_interval([np.array(one.target_ns) for one in parts], 0.9) == (
        values["p90"].interval
    )
    assert 51_170_508 == values["peak"].number
    # That of four replicates: one does not tell.
    assert 109_700 == pytest.approx(values["first"].number)
    assert replicate_interval([1_199_900] * 4 + [1000]) == values["load"].interval


def test_one_replicate_says_what_its_latencies_need():
    view = report_of([record(count=2000)]).views[0]
    details = {figure.title: figure.detail for figure in view.figures}
    for key in ("p50", "p90", "p99"):
        assert "its interval needs replicates" == details[f"Latency {key}"]
    assert "" == details["Load"]
    assert "95 % interval" in details["Accuracy"]


def test_many_latencies_are_never_shown_one_by_one():
    """Not even where they depend so much on each other that they say nothing."""
    swinging = record(replicates=[replicate([1000 + abs(place) for place in range(-25, 25)])])
    assert measure_all(swinging)["p50"].missing > 0
    titles = {figure.title for figure in report_of([swinging]).views[0].figures}
    assert "Latency of each inference" not in titles


def test_dependent_latencies_support_fewer_percentiles():
    dependent = np.repeat(np.random.default_rng(0).integers(1000, 2000, 18), 20)
    values = measure_all(record(replicates=[replicate(dependent.tolist())]))
    assert values["p50"].number is not None
    assert values["p90"].number is None and values["p90"].missing > 50


def test_processor_time_that_a_replicate_does_not_tell_is_unknown():
    parts = [replicate([5] * 10, cpu_time_ns=100), replicate([5] * 10), replicate([])]
    assert Value(None) == measure_all(record(replicates=parts))["cpu"]
    assert Value(10) == measure_all(record(replicates=[parts[0], parts[2]]))["cpu"]


def test_a_percentile_that_the_sample_does_not_support_says_what_it_needs():
    values = measure_all(record(count=60))
    assert Value(None, None, 239) == values["p99"]
    assert "needs about 239 more inferences" == figure_of(MEASURES[7], values["p99"]).detail
    assert values["p90"].number is not None


def test_too_few_latencies_for_a_percentile_are_shown_one_by_one():
    one = record()
    one = msgspec.structs.replace(one, replicates=[replicate([9_541, 2_000_000])])
    few = report_of([one]).views[0]
    assert ("Latency of each inference", "9.541 µs, 2.000 ms") == (
        few.figures[-1].title,
        few.figures[-1].text,
    )
    many = report_of([record()]).views[0]
    assert "Latency of each inference" not in {figure.title for figure in many.figures}


def test_a_figure_of_the_host_is_never_among_the_figures():
    view = report_of([record()]).views[0]
    assert not any("Host" in figure.title for figure in view.figures)
    assert ["Host's time p50", "Host's time p90", "Host's time p99"] == [
        figure.title for figure in view.host_view
    ]


def test_without_host_times_there_is_no_view_of_the_host():
    one = record(replicates=[replicate([9_541, 2_000_000])])
    assert [] == report_of([one]).views[0].host_view


def test_nothing_is_known():
    values = measure_all(unknown())
    assert {None} == {value.number for key, value in values.items() if key != "size"}


def test_processor_time_without_inferences_is_unknown():
    assert measure_all(record(replicates=[replicate([], [], 5)]))["cpu"].number is None


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_no_run_is_called_the_best(four, tmp_path, suffix):
    path = tmp_path / f"report{suffix}"
    (render_html if suffix == ".html" else render_text)(four, path)
    text = path.read_text("utf-8")
    for claim in ("fastest", "Fastest", "Smallest", "Most accurate", "more than chance", " *<"):
        assert claim not in text


def answers(index, truth, predicted, *, name="run", dataset=None, options=None):
    """A record with these answers."""
    one = record(name, predictions=Predictions(index=index, truth=truth, predicted=predicted))
    parts = [
        Component(role="dataset", name=dataset or "a.Data", options=options or {"seed": 0}),
        *(part for part in one.components if part.role != "dataset"),
    ]
    return msgspec.structs.replace(one, components=parts)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (3, 4)),
        # In another order, and with only some of the samples.
        ({"index": [4, 3, 2], "truth": [0, 1, 0], "predicted": [5, 1, 0]}, (2, 3)),
        ({"predicted": [0, None, 0, 0]}, (2, 4)),
        ({"truth": [0, 1, 0, 1]}, None),
        ({"truth": None}, None),
        ({"index": [11, 12, 13, 14]}, None),
        ({"dataset": "other.Data"}, None),
        ({"options": {"seed": 1}}, None),
        ({"options": {"seed": 0, "resize": "crop", "limit": 4}}, (3, 4)),
    ],
)
def test_agreement_counts_only_what_is_shown_to_be_the_same_sample(changes, expected):
    samples = {"index": [1, 2, 3, 4], "truth": [0, 0, 1, 0]}
    baseline = answers(**samples, predicted=[0, 0, 1, 0])
    other = answers(**{**samples, "predicted": [0, 0, 0, 0], **changes})
    assert expected == agreement(other, baseline)


def test_no_answer_is_no_same_answer():
    both = answers([1, 2], [0, 0], [None, 0])
    assert (1, 2) == agreement(both, both)


def test_factors_and_answers_are_those_against_the_baseline():
    first = answers([1, 2], [0, 0], [0, 0], name="first")
    second = answers([1, 2], [0, 0], [0, 1], name="second")
    second = msgspec.structs.replace(
        second, model=msgspec.structs.replace(second.model, size_bytes=14_028)
    )
    for baseline, expected in ((None, ["", "×0.500"]), ("second", ["×2.00", ""])):
        report = report_of([first, second], baseline=baseline)
        columns = {column.title: column for column in report.columns}
        assert expected == [cell.factor for cell in columns["Model size"].cells]
        assert {"baseline", "1 of 2"} == {cell.text for cell in columns["Same answer"].cells}
        assert {""} == {cell.factor for cell in columns["Load"].cells}


def test_an_unknown_baseline_is_refused(four):
    with pytest.raises(OptionError, match="--baseline .*got 'int9'; did you mean 'int8'"):
        report_of(four, baseline="int9")


def test_a_baseline_may_be_named_by_its_file(four):
    sources = [Path(f"{number}.json") for number in "abcd"]
    assert "other-float32" == report_of(four, sources=sources, baseline="c").baseline


def test_what_differs_becomes_columns():
    records = many(3)
    records[2] = msgspec.structs.replace(
        records[2],
        components=[
            *records[2].components,
            Component(role="compiler", name="a.Export", options={"compiled_model_path": "x"}),
            Component(role="compiler", name="a.Quantize", options={"target": "int8"}),
        ],
        target=msgspec.structs.replace(records[2].target, hostname="other"),
    )
    assert {
        "Compiler": ["–", "–", "Export → Quantize"],
        "num_threads": ["1", "2", "3"],
        "Target": ["board", "board", "other"],
    } == {
        column.title: [cell.text for cell in column.cells] for column in report_of(records).options
    }


def test_top_5_is_shown_where_there_is_one():
    quality = msgspec.structs.replace(classification(), top5_accuracy=0.9)
    titles = [figure.title for figure in report_of([record(quality=quality)]).views[0].figures]
    assert ["Accuracy", "Top-5 accuracy"] == titles[:2]
    bare = msgspec.structs.replace(quality, top5_accuracy=None)
    assert "Top-5 accuracy" not in {
        figure.title for figure in report_of([record(quality=bare)]).views[0].figures
    }


def test_details_say_what_went_into_the_model():
    quality = msgspec.structs.replace(classification(), threshold=0.25)
    one = record(
        quality=quality,
        dataset_facts={"resized": 3},
        input_facts={"image": {"saturated": 7}},
    )
    tables = {table.title: table.rows for table in report_of([one]).views[0].details}
    assert [["resized", "3"]] == tables["What the data set did to its samples"]
    assert [["saturated", "7"]] == tables["What went into image"]
    assert ["A score means class 1 above", "0.25"] in tables["Run"]


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


def test_the_area_under_the_roc_curve_of_two_classes():
    """By counting pairs: of 6, 5 are in order."""
    kept = Predictions(
        index=[0, 1, 2, 3, 4], truth=[0, 1, 0, 1, 0], predicted=[0] * 5, scores=[0, 3, 1, 2, 2.5]
    )
    found = measure_all(record(predictions=kept))["auc"]
    assert 5 / 6 == pytest.approx(found.number)
    assert found.interval[0] < 5 / 6 < found.interval[1] <= 1
    view = report_of([record(predictions=kept)]).views[0]
    assert "0.8333" == {one.title: one.text for one in view.figures}["Area under the ROC curve"]
    for changes, why in (
        ({"truth": [1] * 5}, "samples of both classes"),
        ({"scores": [0, None, 1, 2, 3]}, "not every sample has a score"),
    ):
        lacking = measure_all(record(predictions=msgspec.structs.replace(kept, **changes)))["auc"]
        assert lacking.number is None and why in lacking.why
    assert "auc" not in measure_all(record())


def test_what_loadgen_would_report_is_among_the_details():
    def rows(**changes):
        tables = report_of([record(**changes)]).views[0].details
        return [one for one in tables if "LoadGen" in one.title]

    times = [1000 * (one + 1) for one in range(100)]
    (table,) = rows(replicates=[replicate(times[:50]), replicate(times[50:])])
    # The third largest of 100: three or fewer above the 90th percentile have less than 1 %.
    assert stats.binom.cdf(3, 100, 0.1) < 0.01 < stats.binom.cdf(4, 100, 0.1)
    assert [["p90", "98.00 µs"], ["p99", "too few queries"]] == table.rows
    assert "if latencies were independent" in table.note
    assert [] == rows(pattern=PatternFacts(kind="throughput"))


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
