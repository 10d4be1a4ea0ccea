"""KuaiRec's log and captions."""

import pytest
from shop import write_csv

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig


def watched(user, video, timestamp, ratio):
    play = {"user_id": user, "video_id": video, "play_duration": round(ratio * 10_000), "video_duration": 10_000}
    when = {"time": "2020-07-05 05:27:48.378", "date": "20200705.0", "timestamp": timestamp}
    return play | when | {"watch_ratio": ratio}


def said(video, caption, tags="[]", first="UNKNOWN"):
    levels = {"first_level_category_id": 5, "first_level_category_name": first, "second_level_category_name": ""}
    return {"video_id": video, "manual_cover_text": "UNKNOWN", "caption": caption, "topic_tag": tags, **levels}


LOG = [watched(14, 1, 1593898068.378, 1.27), watched(14, 2, "", 0.7), watched(3, 3, 1593898000.0, 0.1)]
LOG += [watched(14, 1, 1593890000.0, 2)]


def write(folder, log=LOG):
    write_csv(folder / "big_matrix.csv", log)
    return DataConfig(source="kuairec", path=str(folder))


def test_a_log_with_captions(tmp_path):
    captions = [
        said(1, "精神小伙路难走\n程哥", "五爱街", "颜值"),
        said(2, "UNKNOWN", "", "美食"),
        said(3, "UNKNOWN", ""),
    ]
    write_csv(tmp_path / "kuairec_caption_category.csv", captions)
    tables = load_tables(write(tmp_path))
    items, events = tables.named["items"], tables.named["events"]
    assert (items.ids, items.texts) == (["1", "2"], ["精神小伙路难走 程哥. 五爱街. 颜值", "美食"])
    assert (events.user_ids, events.item.tolist(), events.time.tolist()) == (
        ["14"],
        [0, 0],
        [1593890000, 1593898068.378],
    )
    assert {name: column.tolist() for name, column in events.columns.items()} == {
        "watch_ratio": [2, 1.27],
        "play_duration": [20_000, 12_700],
        "video_duration": [10_000, 10_000],
    }
    log = tmp_path / "big_matrix.csv"
    assert [note for note in tables.notes if "line break" not in note] == [
        f"{tmp_path}/kuairec_caption_category.csv: 1 of 3 items have no text, and are left out",
        f"{log}: 1 of 4 rows are of 1 items without a text, such as '3', and are left out",
        f"{log}: 1 of 3 rows have no timestamp, and are left out",
    ]


def test_without_captions_the_categories_are_the_text(tmp_path):
    write_csv(tmp_path / "item_categories.csv", [{"video_id": n, "feat": f"[{n}, 8]"} for n in (1, 2, 3)])
    tables = load_tables(write(tmp_path))
    assert tables.named["items"].texts == ["category 1, 8", "category 2, 8", "category 3, 8"]
    assert len(tables.named["events"]) == 3


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: kuairec needs the folder of big_matrix\.csv"):
        load_tables(DataConfig(source="kuairec"))
    with pytest.raises(UserError, match=r"holds no file kuairec_caption_category\.csv or item_categories\.csv"):
        load_tables(write(tmp_path))
    write_csv(tmp_path / "item_categories.csv", [{"video_id": 1, "feat": "[8]"}])
    short = [{key: row[key] for key in ("user_id", "video_id", "watch_ratio")} for row in LOG]
    with pytest.raises(UserError, match=r"big_matrix\.csv: no column 'timestamp'"):
        load_tables(write(tmp_path, short))
