"""`peftrec recipes`: what the package carries, a copy of one, and the schema."""

import json

from command import peftrec

from peftrec.recipe import json_schema
from peftrec.recipe.shipped import recipe_files


def test_recipes_lists_what_the_package_carries():
    listed = json.loads(peftrec("recipes", "--json").stdout)
    assert [row["name"] for row in listed] == list(recipe_files())
    assert all(row["what"] for row in listed)
    shown = peftrec("recipes").stdout.splitlines()
    assert len(shown) == len(listed) + 1
    for row in listed:
        assert any(line.startswith(row["name"]) and row["what"] in line for line in shown)


def test_recipes_schema_tells_editors_every_key():
    schema = json.loads(peftrec("recipes", "schema").stdout)
    assert schema == json_schema()
    assert " ".join(schema["properties"]) == "init_from backbone adapter fusion data tasks weighting sampling train"
    keys = schema["$defs"]["TrainConfig"]["properties"]
    assert keys["lr"]["description"].startswith("learning rate of adapters")
    assert keys["lr"]["anyOf"] == [{"exclusiveMinimum": 0, "type": "number"}, {"type": "null"}]
    assert all(of.get("additionalProperties") is False for of in schema["$defs"].values())


def test_recipes_cp_copies_once(tmp_path):
    target = tmp_path / "mine.yaml"
    done = peftrec("recipes", "cp", "movielens-100k", target)
    assert (done.exit_code, done.stdout) == (0, f"{target}\n")
    assert target.read_bytes() == recipe_files()["movielens-100k"].read_bytes()
    target.write_text("changed")
    again = peftrec("recipes", "cp", "movielens-100k", target)
    assert (again.exit_code, again.stdout) == (2, "")
    assert again.stderr == f"peftrec: {target}: exists already; name another file\n"
    assert target.read_text() == "changed"


def test_recipes_cp_goes_here_or_into_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert peftrec("recipes", "cp", "movielens-100k").stdout == "movielens-100k.yaml\n"
    assert peftrec("recipes", "cp", "movielens-100k", "folder").stdout == "folder/movielens-100k.yaml\n"
    unknown = peftrec("recipes", "cp", "movielens-10k")
    assert unknown.stderr == "peftrec: movielens-10k: no shipped recipe; did you mean 'movielens-100k'?\n"
    nowhere = peftrec("recipes", "cp", "movielens-100k", "nowhere/x.yaml")
    assert nowhere.stderr == "peftrec: nowhere/x.yaml: cannot be written: No such file or directory\n"
    assert (unknown.exit_code, nowhere.exit_code) == (2, 2)
