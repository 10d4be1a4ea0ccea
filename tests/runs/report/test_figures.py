"""Curves as pictures: the same curves are the same bytes, and words stand for each."""

import base64
from xml.etree import ElementTree

import pytest

from peftrec.runs.report.figures import Curve, draw


def svg(picture):
    kind, _, coded = picture.address.partition(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(coded)


def test_only_where_there_is_a_value_is_something_shown():
    curve = Curve("validation", [1, 2, 3], [0.5, None, 0.25])
    assert curve.shown == [(1, 0.5), (3, 0.25)]
    assert draw("loss ↓", [Curve("none", [1], [None])]) is None


def test_words_stand_for_the_curves_and_the_bytes_repeat():
    curves = [
        Curve("training", [0.5, 1], [2, 1.23456]),
        Curve("none", [1], [None]),
        Curve("validation", [1], [3], True),
    ]
    first, second = draw("loss ↓", curves), draw("loss ↓", curves)
    assert first == second
    assert first.words == "loss ↓: training from 2 to 1.235; validation from 3 to 3"
    assert ElementTree.fromstring(svg(first)).tag.endswith("svg")


@pytest.mark.filterwarnings("error::UserWarning")  # not of what another test left open, which may end meanwhile
@pytest.mark.parametrize("name", ["查询", "استعلام", "möbel", "クエリ", "a<b & c"])
def test_names_of_any_script_stay_text_and_nothing_is_warned_of(name):
    drawn = ElementTree.fromstring(svg(draw("loss", [Curve(name, [1, 2], [1, 2]), Curve("other", [1, 2], [2, 1])])))
    assert name in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("values", [[1.0, 100.0], [0.0, 100.0]])  # no logarithm of 0
def test_an_axis_is_logarithmic_only_where_all_is_above_zero(values):
    curves = [Curve("norm", [1, 2], values)]
    assert (svg(draw("norm", curves, log=True)) == svg(draw("norm", curves))) is (0.0 in values)
