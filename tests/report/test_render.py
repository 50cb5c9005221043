import html.parser
import re
import xml.etree.ElementTree as ElementTree

import msgspec
import pytest

from edge_tester.core.errors import OptionError, RecordError
from edge_tester.core.figures import Quality
from edge_tester.report import render_html, render_text
from edge_tester.report.render import escaped_markdown
from tests.report.records import classification, many, record, replicate, unknown

EVIL = "<script>alert('x')</script> & $a_b$ \x07 `|*"


class Page(html.parser.HTMLParser):
    """Collects what a page says, loads and names."""

    def __init__(self, content):
        super().__init__()
        self.text, self.tags, self.ids, self.links, self.open = [], [], [], [], []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "action"):
                self.links.append(value)
        if tag not in ("meta", "path", "use", "rect", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def page(tmp_path):
    def made(*records):
        path = tmp_path / "report.html"
        render_html(records, path)
        return Page(path.read_text("utf-8"))

    return made


def test_the_numbers_are_those_of_the_record(page):
    words = page(record()).words
    for expected in ("97.49 %", "1.200 ms", "109.7 µs", "48.80 MiB", "27.40 KiB", "75.00 %"):
        assert expected in words
    assert "Two host times are doubtful." in words
    assert "21 November 2026, 04:07 UTC" in words
    assert "parent.keras" in words


def test_a_page_needs_nothing_else(four, tmp_path):
    path = tmp_path / "report.html"
    render_html(four, path)
    content = path.read_text("utf-8")
    found = Page(content)
    assert {"script", "link", "img", "iframe"} & set(found.tags) == set()
    assert all(link.startswith("#") for link in found.links)
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert "@import" not in content
    assert re.findall(r"url\((?!#)", content) == []
    # The namespace of SVG is a name, no address.
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\"' <)]+", content))
    assert len(content) < 600_000


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_the_files_of_the_records_are_linked(four, tmp_path, suffix):
    sources = [tmp_path / "my runs" / f"{one.name}.json" for one in four]
    path = tmp_path / "reports" / f"report{suffix}"
    (render_html if suffix == ".html" else render_text)(four, path, sources=sources)
    content = path.read_text("utf-8")
    for one in four:
        assert f"../my%20runs/{one.name}.json" in content


def test_a_printed_page_shows_the_details_and_has_no_empty_first_page(tmp_path):
    """Closed details print nothing unless their content is shown by a rule of its own."""
    path = tmp_path / "report.html"
    render_html([record()], path)
    content = path.read_text("utf-8")
    printed = content[content.index("@media print") : content.index("</style>")]
    assert "details::details-content { content-visibility: visible; }" in printed
    assert "section.alone { break-before: auto; }" in printed
    assert 'class="record alone"' in content


def test_options_that_differ_are_columns(page):
    words = page(*many(12)).words
    assert "num_threads" in words[: words.index("Latency on the target, all")]
    assert "Run 12 tflite 4" in words


def test_a_plot_of_many_runs_names_them_by_number(tmp_path):
    for records, named in ((many(12), False), ([record("one"), record("two")], True)):
        path = tmp_path / "report.html"
        render_html(records, path)
        content = path.read_text("utf-8")
        plots = re.findall(r"<figure>.*?</figure>", content, re.DOTALL)
        trade_off = next(p for p in plots if "Accuracy and model size" in p)
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", trade_off)
        expected = {one.name for one in records} if named else {str(i) for i in range(1, 13)}
        assert expected <= set(texts)
        assert ("Numbers are those of the runs" in trade_off) == (not named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_threads", "num_threads"),
        ("(1, 8) of -17.5", "(1, 8) of -17.5"),
        ("2 * 3", "2 * 3"),
        ("a*b", r"a\*b"),
        ("_a_", r"\_a\_"),
        ("a|b`", r"a\|b\`"),
        ("[a](b)", r"[a\](b)"),
        ("1. x", r"1\. x"),
        ("# x", r"\# x"),
        ("- x", r"\- x"),
        ("<b>", "&lt;b>"),
        ("&amp; & b", "&amp;amp; & b"),
    ],
)
def test_markdown_escapes_only_what_is_markup(text, expected):
    assert expected == escaped_markdown(text)


def test_ids_are_unique_and_tags_are_closed(four, page):
    found = page(*four)
    assert len(set(found.ids)) == len(found.ids)
    assert [] == found.open


def test_plots_follow_the_style_sheet(four, tmp_path):
    path = tmp_path / "report.html"
    render_html(four, path)
    drawn = "".join(re.findall(r"<svg.*?</svg>", path.read_text("utf-8"), re.DOTALL))
    assert "var(--series-1)" in drawn
    assert [] == re.findall(r"#[0-9a-f]{6}\b", drawn)


def test_names_are_only_text(tmp_path):
    quality = classification(class_names=[f"<i>{i}" for i in range(10)])
    evil = record(EVIL, remarks=["<img src=x>"], command_line=["<a>"], quality=quality)
    for suffix in (".html", ".md"):
        path = tmp_path / f"report{suffix}"
        (render_html if suffix == ".html" else render_text)([evil, record()], path)
        content = path.read_text("utf-8")
        assert "<script>" not in content
        assert "<img" not in content
        assert "<i>" not in content


def test_what_is_unknown_is_said_in_words(page):
    words = page(unknown(), record()).words
    assert re.findall(r"\b(None|nan|inf|NaN)\b", words) == []
    assert "not available" in words
    assert "needs about 299 more inferences" in words
    assert "Incomplete run: the record does not say why" in words


@pytest.mark.parametrize("count", [0, 1, 2, 5, 19])
def test_few_inferences(page, count):
    found = page(record(count=count))
    assert (count > 1) + (count >= 5) + 1 == found.tags.count("svg")


@pytest.mark.parametrize("count", [1, 30])
def test_equal_and_impossible_latencies(page, count):
    one = record()
    for value in (0, 5_000):
        equal = [replicate([value] * count)]
        page(*[msgspec.structs.replace(one, replicates=equal)] * 2)


def test_an_incomplete_run_is_marked_with_its_reason(page):
    broken = record("broken", complete=False, incomplete_reason="The target was lost.")
    words = page(broken, record()).words
    assert "Incomplete run: The target was lost." in words
    assert "broken incomplete" in words


def test_a_single_record_is_not_compared(page):
    words = page(record("alone")).words
    assert words.startswith("alone")
    assert "by more than chance" not in words


def test_no_quality_without_a_task(page):
    words = page(record(quality=Quality(task="none", samples=359))).words
    assert "Accuracy" not in words
    assert "Confusion" not in words


def test_long_series_and_many_classes_stay_small(tmp_path):
    many = record(count=20_000, quality=classification(samples=3000, classes=300, hits=2000))
    render_html([many], tmp_path / "report.html")
    content = (tmp_path / "report.html").read_text("utf-8")
    assert "20,000 inferences in 300 groups" in content
    assert "Each square stands for 5 × 5 classes." in content
    assert len(content) < 400_000


def test_the_same_records_give_the_same_bytes_and_stay_as_they_are(four, tmp_path):
    before = msgspec.json.encode(four)
    contents = []
    for name in ("one", "two"):
        render_html(four, tmp_path / name / "report.html")
        render_text(four[:2], tmp_path / name / "report.md")
        files = sorted((tmp_path / name).rglob("*"))
        contents.append([(f.name, f.read_bytes()) for f in files if f.is_file()])
    assert contents[0] == contents[1]
    assert before == msgspec.json.encode(four)


@pytest.mark.parametrize("suffix", [".md", ".rst"])
def test_text_has_its_plots_beside_it(four, tmp_path, suffix):
    path = tmp_path / f"my report{suffix}"
    render_text(four[:2], path)
    content = path.read_text("utf-8")
    plots = tmp_path / "my report_plots"
    named = set(re.findall(r"my%20report_plots/([\w-]+)\.png", content))
    assert named == {file.stem for file in plots.glob("*.png")}
    assert named == {file.stem for file in plots.glob("*.svg")}
    assert "97.49" in content
    for file in plots.glob("*.svg"):
        assert "var(" not in file.read_text("utf-8")
        ElementTree.parse(file)


def test_restructured_text_is_well_formed(four, tmp_path):
    docutils = pytest.importorskip("docutils.core")
    path = tmp_path / "report.rst"
    render_text([record(EVIL), *four[:1], unknown()], path)
    settings = {"halt_level": 2, "report_level": 2, "input_encoding": "utf-8"}
    published = docutils.publish_string(
        path.read_text("utf-8"), writer="html5", settings_overrides=settings
    )
    assert b"alert(" in published


def test_the_user_s_style_of_plots_is_left_alone(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"font.size": 7}):
        render_html([record()], tmp_path / "report.html")
        assert 7 == matplotlib.rcParams["font.size"]


def test_nothing_to_render(tmp_path):
    with pytest.raises(RecordError, match="at least one run record"):
        render_html([], tmp_path / "report.html")


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"\.rst or \.md, got 'report\.pdf'"):
        render_text([record()], tmp_path / "report.pdf")


def test_an_unwritable_report_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        render_html([record()], tmp_path / "file" / "report.html")
