"""Windows of a stream: when each is over, what counts, and what comes too late."""

import pytest

from peftrec.errors import RowError, UserError
from peftrec.serving.monitor.surges import Surges
from peftrec.serving.monitor.texts import Text
from peftrec.serving.monitor.windows import AT_ONCE, MOST_TOPICS, Windows

HOUR = 3600.0
TEN = 1_777_629_600.0  # 2026-05-01T10:00:00Z


def said(texts):
    return [(text.topic, "bad" if "bad" in text.text else "good") for text in texts]


def made(*rows):
    return [Text(TEN + after, text, topic, f"row {n}") for n, (after, text, topic) in enumerate(rows, 1)]


def windows(classify=said):
    return Windows(HOUR, "bad", Surges(0.04, 48), classify)


def test_a_window_is_over_when_a_later_text_arrives_and_at_the_end():
    given, taken = made((0, "bad", "oil"), (3599, "good", "oil"), (60, "bad", None), (7200, "bad", "oil")), []

    def feed():
        for text in given:
            taken.append(text)
            yield text

    lines = windows().watch(feed())
    first = [line.shown() for line in next(lines)]
    assert len(taken) == 4
    rest = {"label": "bad", "expected": None, "p": None, "alarm": False}
    began = {"window": "2026-05-01T10:00:00Z", **rest}
    assert first == [
        {**began, "topic": None, "texts": 1, "count": 1},
        {**began, "topic": "oil", "texts": 2, "count": 1},
    ]
    last = [[line.shown() for line in of] for of in lines]  # the hour without texts has no lines
    assert last == [[{"window": "2026-05-01T12:00:00Z", **rest, "topic": "oil", "texts": 1, "count": 1}]]


def test_late_texts_are_counted_and_left_out():
    watched = windows()
    found = list(watched.watch(made((3600, "a", None), (10, "late", None), (3700, "b", None), (20, "late", None))))
    assert [(line.start - TEN, line.verdict.texts) for of in found for line in of] == [(3600, 2)]
    assert (watched.late, watched.first_late) == (2, "row 2")


def test_a_long_window_is_read_piece_by_piece():
    sizes = []

    def classify(texts):
        sizes.append(len(texts))
        return said(texts)

    (lines,) = windows(classify).watch(made(*[(1, "bad", None)] * (2 * AT_ONCE + 3)))
    assert sizes == [AT_ONCE, AT_ONCE, 3] and lines[0].verdict.texts == lines[0].verdict.count == sum(sizes)


def test_nothing_in_nothing_out():
    assert list(windows().watch([])) == []


def test_a_text_that_the_run_refuses_is_named():
    def refuse(texts):
        raise RowError(2, "'text' is no Unicode")

    with pytest.raises(UserError, match=r"^row 2: 'text' is no Unicode$"):
        list(windows(refuse).watch(made((0, "a", None), (1, "b", None))))


def test_topics_without_end_are_refused():
    texts = made(*[(n // 700 * HOUR, "a", str(n)) for n in range(MOST_TOPICS + 1)])
    with pytest.raises(UserError, match=r"^row \d+, column 'topic': there may be 1,000 topics at most"):
        list(windows().watch(texts))
