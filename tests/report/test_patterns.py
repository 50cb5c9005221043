"""What reports say of runs under load patterns."""

import msgspec
import numpy as np

from edge_tester.core.record import Component, PatternFacts
from edge_tester.report import render_html
from edge_tester.report.context import report_of
from tests.core.results.test_patterns import poisson, served
from tests.report.records import record

MILLISECOND_NS = 1_000_000


def under(name, kind, rate_hz=10.0):
    """A record under a pattern with one option."""
    one = record(name, replicates=[poisson(0.5, 200, seed) for seed in range(2)])
    pattern = Component(role="pattern", name=f"a.{kind}", options={"target_rate_hz": rate_hz})
    facts = PatternFacts(kind=kind, deadline_ns=MILLISECOND_NS, power_mw=100, battery_mwh=100)
    return msgspec.structs.replace(one, components=[*one.components, pattern], pattern=facts)


def test_unlike_load_patterns_are_a_caution():
    said = "The load patterns of the runs differ. Compare their figures with care."
    for first, second, differ in (
        (under("a", "query"), under("b", "query"), False),
        (under("a", "query"), under("b", "query", 20.0), True),
        (under("a", "query"), under("b", "deadline"), True),
        # How long blocks are that have no arrivals is nobody's concern.
        (under("a", "inference"), under("b", "inference", 20.0), False),
        (record("a"), under("b", "query"), True),
    ):
        assert differ == (said in report_of([first, second]).cautions)


def test_estimates_are_called_so_everywhere(tmp_path):
    single, both = tmp_path / "single.html", tmp_path / "both.html"
    render_html([under("a", "deadline")], single)
    render_html([under("a", "deadline"), under("b", "query")], both)
    for page in (single.read_text(), both.read_text()):
        for name in ("Energy per event", "Battery life"):
            assert page.count(name) == page.count(f"{name} (estimate)") > 0
    assert "Query latency p50" in both.read_text()
    assert "Query latency p50" not in single.read_text()


def test_why_there_is_no_latency_is_in_the_report(tmp_path):
    late = served(np.arange(1, 101) * MILLISECOND_NS, [1_500_000] * 100)
    one = record(replicates=[late], pattern=PatternFacts(kind="query"))
    render_html([one], tmp_path / "r.html")
    page = " ".join((tmp_path / "r.html").read_text().split())
    assert "arrivals come faster than they are served, so the queue grows" in page
