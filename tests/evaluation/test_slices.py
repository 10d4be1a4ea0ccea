"""Parts of the rows, each measured as if there were no others."""

from dataclasses import replace

import numpy as np
import pytest
from featured import LIMITS, featured_recipe, make_featured_shop

from peftrec.errors import UserError
from peftrec.evaluation import slices
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.slices import check_slices, divisions, slices_of
from peftrec.model.scorer import Scorer
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve

BY = ["cold_items", "cold_users", "brand", "country", "device"]


class ByChance(Scorer):
    """The same of equal rows."""

    def predict(self, task, examples):
        return np.random.default_rng(0).random(1000)[(7 * examples.item + examples.users) % 1000].astype(np.float32)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    cheap = {"kind": "interest", "column": "cheap", "slices": BY, "metrics": ["auc", "hr@20"]}
    return featured_recipe(make_featured_shop(tmp_path_factory.mktemp("shop"), 300), tasks={"cheap": cheap})


@pytest.fixture(scope="module")
def dataset(recipe):
    """With a third of the test rows of items and users that training had, though not together."""
    found = load_data(recipe)
    data = found.tasks["cheap"]
    known = np.arange(len(data.test)) % 3 == 0
    again = replace(
        data.test.take(np.arange(len(data.test))),
        item=np.where(known, data.train.item[: len(data.test)], data.test.item),
        group=np.where(known, data.train.group[1 : 1 + len(data.test)], data.test.group),
    )
    return replace(found, tasks={"cheap": replace(data, test=again)})


def test_what_rows_can_be_divided_by(dataset):
    assert divisions(dataset.tasks["cheap"]) == BY


def test_every_row_is_in_one_part_of_each_division(dataset):
    data = dataset.tasks["cheap"]
    found = slices_of(data, data.test, BY)
    for by in BY:
        rows = np.concatenate([of for name, _, of in found if name == by])
        assert np.sort(rows).tolist() == list(range(len(data.test)))
    cold = {(by, part): of for by, part, of in found}
    assert cold["cold_items", "warm"].tolist() == cold["cold_users", "warm"].tolist()
    assert cold["cold_items", "warm"].tolist() == np.arange(0, len(data.test), 3).tolist()
    brands = dataset.items["items"].features.categories["brand"].to_pylist()
    assert {part for by, part, _ in found if by == "brand"} >= set(LIMITS)
    for (by, part), rows in cold.items():
        if by == "brand" and part != "other":
            assert {brands[item] for item in data.test.item[rows]} == {part}


def test_rare_levels_stand_together(dataset, monkeypatch):
    monkeypatch.setattr(slices, "LEVELS", 2)
    data = dataset.tasks["cheap"]
    parts = {part: len(rows) for _, part, rows in slices_of(data, data.test, ["brand"])}
    assert len(parts) == 3 and sum(parts.values()) == len(data.test)
    brands = [dataset.items["items"].features.categories["brand"].to_pylist()[item] for item in data.test.item]
    most = sorted((brands.count(brand) for brand in LIMITS), reverse=True)[:2]
    assert [count for part, count in parts.items() if part != "other"] == most


def test_a_part_is_measured_as_if_there_were_no_others(recipe, dataset):
    tasks = resolve(recipe)
    report = evaluate(ByChance(), dataset, tasks, "test", resamples=20, ranking=True)["tasks"]["cheap"]
    assert list(report["slices"]) == BY
    data = dataset.tasks["cheap"]
    plain = {"cheap": replace(tasks["cheap"], config=tasks["cheap"].config.model_copy(update={"slices": []}))}
    for by, part, rows in slices_of(data, data.test, ["cold_items", "country"]):
        alone = replace(dataset, tasks={"cheap": replace(data, test=data.test.take(rows))})
        # Of a user with rows in several parts the last liked one, which is ranked, may be in another.
        expected = evaluate(ByChance(), alone, plain, "test", resamples=20)["tasks"]["cheap"]
        own = report["slices"][by][part]
        assert own["n"] == len(rows) == expected["n"]
        for section in ("metrics", "intervals"):
            assert {name: own[section][name] for name in ("auc", "log_loss")} == expected[section]
        assert own["gains"]["auc"] == expected["gains"]["auc"] and set(own["priors"]) >= set(expected["priors"])
    ranked = report["slices"]["cold_items"]
    whole = sum(of["ranked"] * of["metrics"]["hr@20"] for of in ranked.values()) / report["ranked"]
    assert sum(of["ranked"] for of in ranked.values()) == report["ranked"]
    assert report["metrics"]["hr@20"] == pytest.approx(whole)


def test_validation_does_not_look_at_parts(recipe, dataset):
    report = evaluate(ByChance(), dataset, resolve(recipe), "valid", resamples=0, priors=False)
    assert "slices" not in report["tasks"]["cheap"]


def test_what_rows_cannot_be_divided_by_is_told_with_what_they_can(recipe, dataset):
    task = resolve(recipe)["cheap"]
    task = replace(task, config=task.config.model_copy(update={"slices": ["brand", "price", "colour"]}))
    with pytest.raises(UserError) as error:
        check_slices({"cheap": task}, dataset)
    assert str(error.value) == (
        "tasks.cheap.slices: rows cannot be divided by 'price', 'colour', but by cold_items, cold_users, brand, "
        "country, device (features are those of kind category)"
    )
