"""Where the loop stands: means since the last line. Keeping and putting back a model's state: test_resume.py."""

from peftrec.training.snapshot import Progress


def test_means_are_over_what_was_added_since_the_last_line():
    at = Progress()
    assert at.mean("loss") is None
    at.add("loss", 1.0)
    at.add("loss", 4.0)
    at.add("padding", 3, over=12)
    at.add("padding", 0, over=0)
    assert (at.mean("loss"), at.mean("padding")) == (2.5, 0.25)
    at.means.clear()
    assert at.mean("loss") is None
