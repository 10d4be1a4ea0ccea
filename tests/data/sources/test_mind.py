import numpy as np
import pytest
from made import made

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset

NEWS = (
    'N1\tsports\tsoccer\tA "lone quote\tThe cup final\thttps://x\t[]\t[]\n'
    "N2\tfood\trecipes\tPie\t\thttps://x\t[]\t[]\n"
    "N3\tfood\trecipes\tSoup\tHot and sour\thttps://x\t[]\t[]\n"
)
BEHAVIORS = (
    "1\tU7\t11/12/2019 1:00:00 PM\tN2 N1 N3\tN1-0 N3-1\n"
    "2\tU7\t11/11/2019 9:05:58 AM\tN2 N1\tN3-0 N2-1 N1-0\n"
    "3\tU8\t11/11/2019 12:00:01 AM\t\tN1-1 N2-0\n"
)
FIRST = 1573463158  # 2019-11-11 09:05:58 UTC


def write(folder, news=NEWS, behaviors=BEHAVIORS):
    (folder / "news.tsv").write_text(news)
    (folder / "behaviors.tsv").write_text(behaviors)
    return DataConfig(source="mind", path=str(folder))


def test_lists_with_their_clicks_and_histories_before_them(tmp_path):
    tables = load_tables(write(tmp_path))
    items, events = tables.named["items"], tables.named["events"]
    assert items.texts == ['A "lone quote. The cup final', "Pie", "Soup. Hot and sour"]
    assert items.columns == {"category": ["sports", "food", "food"], "subcategory": ["soccer", "recipes", "recipes"]}
    assert events.user_ids == ["U7", "U8"] and events.user.tolist() == [0] * 7 + [1] * 2
    # The history of the first list in time, in its order, then the lists.
    assert [items.ids[item] for item in events.item] == ["N2", "N1", "N3", "N2", "N1", "N1", "N3", "N1", "N2"]
    assert events.time[:5].tolist() == [FIRST - 2, FIRST - 1, FIRST, FIRST, FIRST]
    assert events.time[5:].tolist() == [1573563600] * 2 + [1573430401] * 2
    assert events.impression.tolist() == [-1, -1, 1, 1, 1, 0, 0, 2, 2]
    assert events.chosen.tolist() == [True, True, False, True, False, False, True, True, False]
    assert np.isnan(events.features.numbers["age"][:2]).all()  # of clicks in no list nothing is known
    since = (1573563600 - FIRST) / 3600  # N1 was shown to U8 before, N3 to U7 in the list before
    own = (FIRST - 1573430401) / 3600
    assert events.features.numbers["age"][2:].tolist() == pytest.approx([0, own, own, own + since, since, 0, 0])
    assert items.features.categories["category"].to_pylist() == ["sports", "food", "food"]
    assert tables.named["texts"].text == items.texts and tables.named["texts"].label == "category"
    assert "2 such clicks stand right before a user's first list, a second apart" in tables.notes[0]


def test_histories_are_known_and_neither_trained_nor_tested(tmp_path):
    random, lines = np.random.default_rng(0), []
    for row in range(60):
        shown = random.permutation(3)
        marked = " ".join(f"N{1 + n}-{int(place == 0)}" for place, n in enumerate(shown))
        lines.append(f"{row}\tU{row % 5}\t11/{10 + row // 6}/2019 3:00:00 AM\tN2 N3\t{marked}\n")
    data = write(tmp_path, behaviors="".join(lines))
    tables = load_tables(data)
    built = build_dataset(tables, {"click": made("click", kind="interest")}, data, 0).tasks["click"]
    parts = [built.train, built.valid, built.test]
    assert sum(map(len, parts)) == 180 and built.impressions and built.hides == ["events"]
    assert min(examples.group.min() for examples in parts) == 0
    for examples in parts:
        past = examples.history()
        assert ((past.rows >= 0).sum(1) >= 2).all()  # the history, and the clicks of lists before
        assert (past.feedback[past.rows >= 0] == 1).all()
    assert any("10 events stand in no list" in note for note in built.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"behaviors": BEHAVIORS.replace("N3-1", "N3")}, r"row 1, column 'impressions': .*test set lacks; found 'N3'"),
        (
            {"behaviors": BEHAVIORS.replace("N3-1", "N9-1")},
            r"row 1, column 'impressions': must be ids of news\.tsv.*'N9'",
        ),
        ({"behaviors": BEHAVIORS.replace("\tN2 N1\t", "\tN2 N8\t")}, r"row 2, column 'history': must be ids of.*'N8'"),
        ({"behaviors": BEHAVIORS.replace("9:05:58 AM", "21:05")}, r"row 2, column 'time': must be a time such as"),
        (
            {"behaviors": BEHAVIORS.replace("\tN1-1", " N1-1")},
            r"behaviors\.tsv: cannot be read.*line 3: has 4 fields, the first",
        ),
        ({"behaviors": BEHAVIORS.replace("U8", "")}, r"row 3, column 'user': must not be empty"),
        ({"news": NEWS.replace("N2", "N1")}, r"news\.tsv: row 2, column 'id': must be unique"),
    ],
)
def test_wrong_rows_are_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        load_tables(write(tmp_path, **change))


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: mind needs the folder of news\.tsv and behaviors\.tsv"):
        load_tables(DataConfig(source="mind"))
    with pytest.raises(UserError, match=r"data\.path: the folder .* holds no file news\.tsv"):
        load_tables(DataConfig(source="mind", path=str(tmp_path)))
