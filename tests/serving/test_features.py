"""Features from the recipe to the answer: what only they can tell is learnt, kept in the run, and read from rows."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import peftrec
from featured import LOVED, featured_recipe, make_featured_shop
from sklearn.metrics import log_loss, roc_auc_score

from peftrec.data.features import Encoding
from peftrec.errors import UserError
from peftrec.recipe import dump_recipe
from peftrec.serving.features import checked_features, encoded
from peftrec.serving.predictor import Predictor

TASKS = {name: {"kind": "interest", "column": name} for name in ("cheap", "young", "mobile")}
NEXT = {"next": {"kind": "next-item"}}
MATCH = {"query": {"kind": "match-query"}, "joint": {"kind": "match-query", "input": "joint"}}
TITLE = "some words"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_featured_shop(tmp_path_factory.mktemp("featured"))


@pytest.fixture(scope="module")
def run(shop, quick_intervals):
    return trained(shop, "with", tasks=TASKS | NEXT | MATCH, train={"epochs": 10})


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(run)


def trained(shop, name, **changes):
    """A run of the command line."""
    recipe = shop / f"{name}.yaml"
    recipe.write_text(dump_recipe(featured_recipe(shop, **changes)))
    done = peftrec("train", recipe, "--run", shop / name, "--json")
    assert done.exit_code == 0, done.stderr
    return shop / name


def measured(run):
    return {name: of["metrics"] for name, of in json.loads((run / "report.json").read_text())["tasks"].items()}


def rows_of(shop, table):
    with (shop / f"{table}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_with_features_the_labels_are_learnt_and_without_them_they_are_chance(shop, run):
    found = {name: of["auc"] for name, of in measured(run).items() if "auc" in of}
    assert all(found[name] > 0.85 for name in ("cheap", "query", "joint")), found
    assert found["young"] > 0.95 and found["mobile"] > 0.95, found
    without = measured(trained(shop, "without", features={}, tasks=TASKS | MATCH))
    assert all(0.4 < of["auc"] < 0.6 for of in without.values()), without


def test_predict_answers_the_test_rows_as_evaluate_measured_them(shop, run, tmp_path):
    events = sorted(rows_of(shop, "events"), key=lambda row: int(row["time"]))[-180:]
    for task, of in measured(run).items():
        if task in MATCH:
            continue
        rows = [
            {"user": row["user"], "item": row["item"], "time": int(row["time"])}
            | {"features": {"hour": int(row["hour"]), "device": row["device"]}}
            for row in events
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = peftrec("predict", run, "--task", task, "--input", tmp_path / "rows.jsonl")
        assert done.exit_code == 0, done.stderr
        scores = [json.loads(line)["score"] for line in done.stdout.splitlines()]
        if task in TASKS:
            kept = pq.read_table(run / "test" / f"{task}.parquet")["prediction"].to_pylist()
            assert sorted(scores) == pytest.approx(sorted(kept), abs=1e-6)
            labels = [int(row[task]) for row in events]
            assert roc_auc_score(labels, scores) == pytest.approx(of["auc"], abs=1e-6)
            assert log_loss(labels, scores) == pytest.approx(of["log_loss"], abs=1e-5)
    again = peftrec("evaluate", run, "--json")
    report = json.loads(again.stdout)["tasks"]
    for task, of in measured(run).items():
        for name, value in of.items():
            assert report[task]["metrics"][name] == pytest.approx(value, abs=1e-6), (task, name)


def test_a_new_item_and_a_new_user_with_the_features_of_known_ones_score_as_those(shop, predictor):
    item, user = rows_of(shop, "items")[9], rows_of(shop, "users")[9]
    known = {"user": "u9", "item": "i9", "time": 0, "features": {"hour": 7.5, "device": "phone"}}
    new = {
        "history": [],
        "user_features": {"age": int(user["age"]), "country": user["country"]},
        "item_text": item["title"],
        "item_features": {"price": float(item["price"]), "brand": item["brand"]},
        "features": {"device": " phone ", "hour": 7.5},
    }
    for task in TASKS:
        (one,), (other,) = predictor.predict(task, [known]), predictor.predict(task, [new])
        # But for the rates: the label of its own only event is known of the item, and of no new one.
        assert one["score"] == pytest.approx(other["score"], abs=0.05)
    (one,), (other,) = predictor.predict("next", [known]), predictor.predict("next", [new])
    catalogue, weights = predictor.run.catalogues["next"], predictor.model.head("next").signals.tolist()
    popular, lately = (catalogue.popularity(np.zeros(1), lately=of)[0, 9] for of in (False, True))
    assert one["score"] - weights[0] * popular - weights[1] * lately == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.parametrize("task", MATCH)
def test_match_query_reads_the_features_of_a_new_item(shop, predictor, task):
    item = rows_of(shop, "items")[9]
    features = {"price": float(item["price"]), "brand": item["brand"]}
    rows = [{"item": "i9"}, {"item_text": item["title"], "item_features": features}]
    cheap, dear = ({"item_text": TITLE, "item_features": {"price": price, "brand": "acme"}} for price in (4, 80))
    answers = predictor.predict(task, [row | {"query": "w1 w2"} for row in (*rows, cheap, dear)])
    known, new, cheap, dear = (answer["score"] for answer in answers)
    assert known == pytest.approx(new, abs=1e-6) and cheap > dear + 0.2
    with pytest.raises(UserError, match="row 1: 'user_features' is no key of task"):
        predictor.predict(task, [{"query": "w1", "item": "i9", "user_features": {}}])


def test_recommending_for_a_query_reads_the_features_of_items(shop, predictor):
    best = predictor.recommend("query", query="w1 w2", k=50)
    cheap = {row["item"]: row["match"] for row in rows_of(shop, "queries")}
    assert np.mean([cheap[of["item"]] == "1" for of in best]) > 0.8
    (asked,) = predictor.predict("query", [{"query": "w1 w2", "item": best[7]["item"]}])
    assert asked["score"] == pytest.approx(best[7]["score"], abs=1e-6)


def scores(predictor, task, **of):
    row = {"history": [], "item_text": TITLE, "time": 0}
    return predictor.predict(task, [row | of])[0]["score"]


def test_features_of_new_items_users_and_events_decide(predictor):
    for brand, cheap, dear in (("acme", 25, 70), ("zeta", 4, 25)):
        low, high = (
            scores(predictor, "cheap", item_features={"price": price, "brand": brand}) for price in (cheap, dear)
        )
        assert low > high + 0.2, brand
    young, old = (scores(predictor, "young", user_features={"age": age}) for age in (20, 70))
    assert young > old + 0.2
    phone, desk = (scores(predictor, "mobile", features={"device": name, "hour": 3}) for name in ("phone", "desk"))
    assert phone > desk + 0.2


def test_missing_and_unknown_values_have_marks_of_their_own(predictor):
    nothing = scores(predictor, "cheap")
    assert nothing == scores(predictor, "cheap", item_features={"price": None, "brand": None})
    assert nothing == scores(predictor, "cheap", item_features={})
    unknown = [scores(predictor, "cheap", item_features={"price": 20, "brand": name}) for name in ("new", 7, True)]
    assert unknown[0] == unknown[1] == unknown[2] != scores(predictor, "cheap", item_features={"price": 20})
    # What no row can hold is taken to be at the edge.
    far = [scores(predictor, "young", user_features={"age": age}) for age in (1e6, 1e18)]
    assert far[0] == far[1]


def test_recommend_reads_the_features_of_candidates_and_of_a_new_user(shop, run, predictor, tmp_path):
    brands = {row["id"]: row["brand"] for row in rows_of(shop, "items")}
    rows = [{"history": [], "user_features": {"country": country}} for country in LOVED]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = peftrec("recommend", run, "--task", "next", "--input", tmp_path / "rows.jsonl", "-k", 20)
    assert done.exit_code == 0, done.stderr
    answers = [json.loads(line)["items"] for line in done.stdout.splitlines()]
    for (country, brand), best in zip(LOVED.items(), answers, strict=True):
        assert len(best) == 20 and {brands[of["item"]] for of in best} <= {brand, ""}, country
        same = predictor.recommend("next", history=[], k=20, user_features={"country": country})
        assert [of["item"] for of in best] == [of["item"] for of in same]
        row = {"history": [], "user_features": {"country": country}, "item": same[7]["item"]}
        (asked,) = predictor.predict("next", [row])
        assert asked["score"] == pytest.approx(same[7]["score"], abs=1e-5)


def test_filters_and_weights_of_features_on_the_command_line(shop, run, tmp_path):
    goods = {row["id"]: row for row in rows_of(shop, "items")}
    (tmp_path / "rows.csv").write_text('user,exclude\nu1,"i2,i3"\nu2,\n')
    asked = ["recommend", run, "--weights", "next=1,price=-0.1", "--input", tmp_path / "rows.csv", "-k", 5]
    done = peftrec(*asked, "--where", "price > 30 and brand in ('zeta', 'nova')", "--output", tmp_path / "out.parquet")
    assert done.exit_code == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(of["row"], of["user"], of["rank"]) for of in found] == [
        (n, f"u{n}", rank) for n in (1, 2) for rank in range(1, 6)
    ]
    for of in found:
        price, brand = float(goods[of["item"]]["price"]), goods[of["item"]]["brand"]
        assert price > 30 and brand in ("zeta", "nova") and of["text"] == goods[of["item"]]["title"]
        assert of["scores.price"] == pytest.approx(price, rel=1e-6)
        assert of["score"] == pytest.approx(of["scores.next"] - 0.1 * price, abs=1e-4)
    for option, wrong, message in (
        ("--where", "cost > 3", "where: cost is no feature; there are price, brand"),
        ("--diversity", "2", "diversity must be a number from 0 to 1; found 2.0"),
        ("--candidates", "i1,no", "'candidates': no item 'no' in the catalogue"),
        ("--weights", "next=1,brand=2", "weights: 'brand' is a category; of features numbers have a weight: price"),
    ):
        done = peftrec(*asked, option, wrong, "--output", tmp_path / "no.csv")
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.endswith(f"peftrec: {message}\n") and not (tmp_path / "no.csv").exists()


def test_a_user_without_events_is_known_by_its_features(predictor):
    ids = predictor.run.users.ids
    assert ids[:2] == ["u0", "u1"] and len(ids) == 600
    assert predictor.run.users.features.numbers["age"].shape == (600,)


NUMBER = "is a number of at most 1e+18 in size, or null; found"
TEXT = "'brand' is a category: a text, or null; found"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("item_features", {"prize": 3}, ": 'prize' is no feature here; did you mean 'price'?"),
        ("item_features", {"price": "3"}, f": 'price' {NUMBER} '3'"),
        ("item_features", {"price": True}, f": 'price' {NUMBER} True"),
        ("item_features", {"price": 10**400}, f": 'price' {NUMBER} "),
        ("item_features", {"brand": ["acme"]}, f": {TEXT} ['acme']"),
        ("item_features", {"brand": "\ud800"}, f": {TEXT} "),
        ("item_features", [1], " is a dict of features and their values; found [1]"),
        ("user_features", {"age": float("nan")}, f": 'age' {NUMBER} nan"),
        ("features", {"price": 1}, ": 'price' is no feature here; "),
    ],
)
def test_what_is_wrong_with_a_rows_features_is_one_message(predictor, key, value, message):
    with pytest.raises(UserError) as error:
        predictor.predict("cheap", [{"history": [], "item_text": TITLE, key: value}])
    assert str(error.value).startswith(f"row 1: {key!r}{message}")


def test_features_of_what_the_run_knows_are_not_given_again(predictor):
    with pytest.raises(UserError) as error:
        predictor.predict("cheap", [{"history": [], "item": "i1", "item_features": {}}])
    assert str(error.value) == "row 1: 'item_features' go with 'item_text'; those of a known 'item' are the run's own"
    with pytest.raises(UserError) as error:
        predictor.recommend("next", user="u1", user_features={"age": 3})
    assert str(error.value) == "'user_features' go with 'history'; those of a known 'user' are the run's own"
    with pytest.raises(UserError) as error:
        predictor.recommend_all("next", [{"history": []}, {"histories": []}])
    assert str(error.value) == "row 2: 'histories' is no key of a row to recommend for; did you mean 'history'?"


def test_values_of_rows_are_read_as_the_cells_of_a_table():
    encoding = Encoding({"price": (0.0, 1.0)}, {"year": ["1995", "1.5", "true", "", "new"]})
    given = [
        {"year": 1995},
        {"year": 1995.0},
        {"year": 1.5},
        {"year": True},
        {"year": None},
        {"year": " new"},
        {"year": "x"},
    ]
    assert all(checked_features(row, "features", encoding) is row for row in given)
    assert encoded(given, encoding)[:, 2].tolist() == [1, 1, 2, 3, 4, 5, 0]
    assert encoded([{"price": 3}, {"price": None}], encoding)[:, :2].tolist() == [[3, 0], [0, 1]]


def test_check_and_the_card_say_what_is_read(shop, run):
    done = peftrec("check", shop / "with.yaml", "--json")
    said = json.loads(done.stdout)["tasks"]["cheap"]["features"]
    assert said.startswith("6: item: price, brand (") and said.endswith("event: hour, device (2 levels)")
    assert "- cheap: item: price, brand (" in (run / "README.md").read_text()


def test_match_query_reads_the_features_of_who_asks(shop, quick_intervals):
    queries = {"path": str(shop / "queries.csv"), "text": "{query}", "item": "item", "label": "grown", "user": "asker"}
    data = {"queries": queries, "split": {"kind": "by-group", "by": "user", "test": 0.3, "valid": 0.1}}
    run = trained(shop, "asked", tasks={"query": MATCH["query"]}, data=data, train={"epochs": 40})
    assert measured(run)["query"]["auc"] > 0.95
    predictor, ages = Predictor.load(run), {row["id"]: row["age"] for row in rows_of(shop, "users")}
    row = {"query": "w1", "item": "i9"}
    new = {"user_features": {"age": int(ages["u8"]), "country": rows_of(shop, "users")[8]["country"]}}
    answers = predictor.predict("query", [row | {"user": "u8"}, row | new, row, row | {"user_features": {}}])
    known, same, nobody, nothing = (answer["score"] for answer in answers)
    assert known == pytest.approx(same, abs=1e-6) and nobody == nothing != known
    assert predictor.recommend_all("query", [{"query": "w1", "user": "u8"}, {"query": "w1"} | new], k=3)[0]
    for wrong, message in (
        (
            {"user": "u8", "user_features": {}},
            "'user_features' are of a new user; those of a known 'user' are the run's own",
        ),
        ({"user": "nobody"}, "no user 'nobody' in the run; of a new one give 'user_features'"),
    ):
        with pytest.raises(UserError) as error:
            predictor.predict("query", [row | wrong])
        assert str(error.value) == f"row 1: {message}"
