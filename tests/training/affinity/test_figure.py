"""The figure of what tasks do to each other."""

import struct

from peftrec.training.affinity.figure import draw


def pair(one, other, **values):
    signs = {
        name: None if of is None else {**of, "sign": (of["low"] > 0) - (of["high"] < 0)} for name, of in values.items()
    }
    return {"of": one, "on": other, **signs}


def test_it_is_a_picture_whatever_the_values_and_names():
    up, down = {"value": 0.1, "low": 0.05, "high": 0.15}, {"value": -0.1, "low": -0.15, "high": -0.05}
    open_ = {"value": 0.1, "low": -0.05, "high": 0.25}
    result = {
        "tasks": {"a$b": {}, "dé": {}, "c": {}},
        "pairs": [
            pair("a$b", "c", effect=up, begun=up, lookahead=down, cosine=open_),
            pair("c", "a$b", effect=down, begun=open_, lookahead=None, cosine=open_),
        ],
    }
    picture = draw(result)
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 2 * height > 400
    assert draw(result) == picture
    swapped = {
        **result,
        "pairs": [pair("a$b", "c", effect=down, begun=open_, lookahead=down, cosine=open_), result["pairs"][1]],
    }
    assert draw(swapped) != picture
