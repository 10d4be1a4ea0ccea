"""What goes together, in a run: kept as it was fitted, and refused where it is damaged."""

from dataclasses import replace

import numpy as np
import pytest
from habits import ITEMS, habits, load
from safetensors.numpy import save_file

from peftrec.data.neighbours import fit_texts
from peftrec.data.signals import with_neighbours
from peftrec.errors import UserError
from peftrec.runs.neighbours import load_neighbours, save_neighbours


def test_it_comes_back_as_it_was(shop, tmp_path):
    dataset = load(shop, habits(shop, tmp_path, 0.3))
    save_neighbours(tmp_path, dataset)
    kept, alike = load_neighbours(tmp_path, "next", ITEMS)
    fitted = dataset.tasks["next"].train.catalogue.neighbours
    assert alike is None
    assert (kept.items == fitted.items).all() and (kept.weights == fitted.weights).all()
    other = replace(dataset.tasks["next"].train.catalogue, learnt=None, known=kept)
    assert other.neighbours is kept


def test_so_does_whose_texts_are_alike(shop, tmp_path):
    dataset = load(shop, habits(shop, tmp_path, 0.3))
    data = dataset.tasks["next"]
    alike = fit_texts(np.random.default_rng(0).normal(size=(ITEMS, 8)).astype(np.float32))
    knowing = with_neighbours(data, alike)
    save_neighbours(tmp_path, replace(dataset, tasks={"next": knowing}))
    again, kept = load_neighbours(tmp_path, "next", ITEMS)
    assert (kept.items == alike.items).all() and (kept.weights == alike.weights).all()
    assert (again.items == data.train.catalogue.neighbours.items).all()


ROWS = {"items": np.zeros((3, 2), np.int32), "weights": np.ones((3, 2), np.float32)}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"items": ROWS["items"]}, r"damaged: it holds items, whole numbers, and weights"),
        ({**ROWS, "items": ROWS["items"].astype(np.float32)}, r"damaged: it holds items, whole numbers, and weights"),
        ({**ROWS, "weights": np.ones((3, 1), np.float32)}, r"damaged: items and weights are \(3, 100\) at most"),
        ({name: of[:2] for name, of in ROWS.items()}, r"damaged: items and weights are \(3, 100\) at most.*\(2, 2\)"),
        ({**ROWS, "items": ROWS["items"] + 3}, r"damaged: items: the catalogue has the numbers 0 to 2"),
        ({**ROWS, "weights": ROWS["weights"] * np.nan}, r"damaged: weights: numbers that are finite"),
        ({**ROWS, "alike.items": ROWS["items"]}, r"damaged: it holds alike.items, whole numbers, and alike.weights"),
        ({**ROWS, "weights": -ROWS["weights"]}, r"damaged: weights: numbers that are finite, and not below 0"),
    ],
)
def test_damage_is_one_message(tmp_path, tensors, message):
    (tmp_path / "neighbours").mkdir()
    save_file(tensors, tmp_path / "neighbours" / "next.safetensors")
    with pytest.raises(UserError, match=rf"neighbours/next\.safetensors: {message}"):
        load_neighbours(tmp_path, "next", 3)
