"""Reports that client and measure-host write beside their record."""


def test_every_format_is_written_with_its_plots(user):
    words = "client m.tflite data.npz beside mine --start-agent --limit 20 --report html,rst,md"
    told = user.does(*words.split())
    folder = user.folder / "beside"
    for suffix in ("html", "rst", "md"):
        assert f"Report: beside/mine.{suffix}" in told
        assert (folder / f"mine.{suffix}").stat().st_size > 1000
    assert list((folder / "mine_plots").glob("*.png"))


def test_what_is_no_format_is_refused_before_anything_runs(user):
    words = "client m.tflite data.npz beside none --start-agent --report html,pdf"
    assert "formats of html, rst, md" in user.refused(*words.split())
    assert not (user.folder / "beside/none.json").exists()
