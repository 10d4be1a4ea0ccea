"""The logs as every arm reads them."""

import gzip

import pandas as pd
import pytest

from benchmarks.ablation import arms
from benchmarks.ablation.arms import ARMS, arm_recipe, tables_of
from benchmarks.card.sets import SETS


@pytest.fixture
def tweets(tmp_path):
    (folder := tmp_path / "movietweetings-100k").mkdir()
    films = "007::Up (2009)::Animation|Drama\n009::It's (1999) not. It::\n011::1984 (1956)::Sci-Fi\n"
    for name, text in {"ratings": "1::007::8::100\n1::009::3::90\n2::011::3::90\n", "movies": films}.items():
        with gzip.open(folder / f"{name}.dat.gz", "wt") as file:
            file.write(text)
    return tmp_path


def test_an_arm_of_ids_has_texts_that_say_nothing(tweets):
    texts = {arm: tables_of("movietweetings", tweets, 100, arm)[0]["items"]["text"].tolist() for arm in ARMS}
    assert texts["text"] == texts["both"] == texts["features"] == texts["joined"]
    assert texts["text"] == ["Up (2009). Animation, Drama", "It's (1999) not. It. ", "1984 (1956). Sci-Fi"]
    assert sorted(texts["id"]) == ["item 0", "item 1", "item 2"]
    assert texts["id"] == tables_of("movietweetings", tweets, 100, "id")[0]["items"]["text"].tolist()


def test_only_two_arms_have_features(tweets):
    for arm in ("text", "id", "both"):
        frames, features = tables_of("movietweetings", tweets, 100, arm)
        assert features == {} and "year" not in frames["items"]
    for arm in ("features", "joined"):
        frames, features = tables_of("movietweetings", tweets, 100, arm)
        assert features == {"items": {"year": "number", "genres": "category"}}
        assert frames["items"]["year"].tolist() == [2009, 1999, 1956]
        assert frames["items"]["genres"].tolist() == ["Animation, Drama", "", "Sci-Fi"]


def test_recipes_differ_by_what_the_arms_are(tmp_path):
    features = {"items": {"price": "number"}, "users": {"country": "category"}}
    plain = arm_recipe("online-retail", tmp_path, "text", {}, 1)
    assert plain["fusion"] == {"items": False, "features": False} and plain["train"] == {"seed": 1}
    assert "features" not in plain["data"]["tables"]["items"]
    for arm in ("id", "both", "features", "joined"):
        fusion = arm_recipe("online-retail", tmp_path, arm, {}, 1)["fusion"]
        assert fusion == {"items": True, "features": arm == "joined"}
    told = arm_recipe("online-retail", tmp_path, "features", features, 0)["data"]["tables"]
    assert told["items"]["features"] == {"price": "number"} and told["users"]["features"] == {"country": "category"}
    assert told["users"]["path"] == str(tmp_path / "users.parquet")
    assert "features" not in SETS["online-retail"].data["items"]  # the score card's stays as it is


def test_an_artist_s_tag_is_the_one_that_most_people_gave(tmp_path):
    (folder := tmp_path / "lastfm-hetrec2011").mkdir()
    for name, text in {
        "user_taggedartists": "userID\tartistID\ttagID\n1\t5\t2\n2\t5\t3\n3\t5\t3\n1\t6\t3\n2\t6\t2\n",
        "tags": 'tagID\ttagValue\n2\tmetal\n3\t"80s\n',
    }.items():
        with gzip.open(folder / f"{name}.dat.gz", "wt", encoding="latin-1") as file:
            file.write(text)
    frames = {"items": pd.DataFrame({"item": [6, 5, 7], "text": ["a", "b", "c"]})}
    assert arms.artists(tmp_path, frames) == {"items": {"tag": "category"}}
    assert frames["items"]["tag"].tolist() == ["metal", '"80s', ""]  # of as many the first
