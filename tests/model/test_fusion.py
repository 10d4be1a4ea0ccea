"""Fusion: what is learned of items themselves, beside their texts."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch

from peftrec.data.catalogue import ItemTexts
from peftrec.data.features import FeatureTable, category, fit_encoding
from peftrec.model.fusion import SHARED, Fusion, Learned, make_fusion, owners_of
from peftrec.recipe import FusionConfig

# Texts 0 to 6; the second catalogue's last item has the text of the first one's second.
ITEMS = {
    "films": ItemTexts(["a", "b", "c"], np.array([4, 2, 0], np.int32)),
    "books": ItemTexts(["a", "d"], np.array([5, 2], np.int32)),
}
CATALOGUES = {"like": "films", "buy": "books", "topic": ""}


def made(known: list[int], **config: object) -> Fusion:
    torch.manual_seed(0)
    of = FusionConfig(**{"items": True, "dim": 2, "dropout": 0.0, **config})
    return make_fusion(of, ITEMS, CATALOGUES, {SHARED: np.array(known)}, {}, 7, 3)


def test_it_begins_at_nothing_and_moves_known_items_by_what_was_learned_of_them():
    fusion, vectors, rows = made([1, 3, 4]), torch.tensor([[3.0, 0, 0], [1, 1, 1], [0, 0, 5]]), np.array([2, 4, 9])
    part = fusion.parts[SHARED]
    assert part.items.tolist() == [1, 3]  # 4 is of the text of 1
    assert part.places(np.array([0, 2, 4, 5, 6, 7, 99])).tolist() == [-1, 0, -1, 1, -1, -1, -1]
    assert torch.equal(fusion(vectors, rows, "like"), vectors)
    with torch.no_grad():
        part.table.copy_(torch.tensor([[2.0, 0], [0, 1]]))
        part.out.copy_(torch.tensor([[0.0, 1, 0], [7, 7, 7]]))
    moved = vectors.clone()
    moved[0] += torch.tensor([0, 2 * 3**0.5, 0])  # twice the size of a number in [3, 0, 0]
    for task in ("like", "buy"):
        torch.testing.assert_close(fusion(vectors, rows, task), moved)
    assert fusion(vectors, rows, "topic") is vectors


PRICED = FeatureTable({"price": np.array([1, 3, np.nan], np.float32)}, {"kind": category(pa.array(["x", "y", "z"]))})


def featured(**config: object) -> Fusion:
    """The films are described, as train rows of the first two of them would have it."""
    items = {**ITEMS, "films": replace(ITEMS["films"], features=PRICED)}
    encoding = fit_encoding(PRICED, np.array([0, 0, 0, 1, 1, 1, 1]))
    torch.manual_seed(0)
    of = FusionConfig(**{"features": True, "dim": 2, "dropout": 0.0, **config})
    return make_fusion(of, items, CATALOGUES, {}, {(SHARED, "films"): encoding}, 7, 3)


def test_features_begin_at_nothing_and_move_every_item_of_their_catalogue():
    fusion, rows = featured(), np.array([0, 2, 4, 5, 6])
    vectors = torch.tensor([[3.0, 0, 0], [1, 1, 1], [0, 0, 5], [1, 2, 3], [4, 4, 4]])
    described = fusion.described_for("like")
    assert described is fusion.described[SHARED, "films"] and fusion.described_for("buy") is None
    assert torch.equal(fusion(vectors, rows, "like"), vectors)
    with torch.no_grad():
        described.layer.out.weight[0, 0], described.layer.out.weight[1, 1] = (
            0.5,
            2.0,
        )  # of the price; that it is missing
    centre, spread = described.encoding.numbers["price"]
    moved = vectors.clone()
    moved[0, 1] += 2 * 3**0.5  # text 0 is of the film without a price: twice the size of a number in [3, 0, 0]
    moved[1, 0] += 0.5 * (3 - centre) / spread
    moved[2, 0] += 0.5 * (1 - centre) / spread * 5 / 3**0.5
    torch.testing.assert_close(fusion(vectors, rows, "like"), moved)
    assert fusion(vectors, rows, "buy") is vectors  # its catalogue has no features
    # Of one text, and two prices: those of items that the catalogue lacks.
    features = described.encoding.encode(PRICED.take(np.array([0, 1])))
    found = fusion.brought(vectors[[1, 1]], np.array([6, 6]), features, "like")
    by = [0.5 * (price - centre) / spread for price in (1, 3)]
    torch.testing.assert_close(found[:, 0], torch.tensor([1 + by[0], 1 + by[1]]))


def test_what_features_add_is_trained_by_name():
    fusion = featured(items=True)
    assert sorted(fusion.named()) == ["shared/features/films/levels", "shared/features/films/out.weight"]
    fusion(torch.ones(2, 3), np.array([0, 5]), "like").sum().backward()
    assert fusion.named()["shared/features/films/out.weight"].grad.any()


def test_gradients_are_of_the_rows_of_a_step_alone():
    fusion = made([0, 1, 2, 3])
    fusion(torch.ones(2, 3), np.array([0, 5]), "like").sum().backward()
    table = fusion.parts[SHARED].table
    assert table.grad.is_sparse and table.grad.coalesce().indices().tolist() == [[2, 3]]


def test_a_share_of_items_goes_by_text_alone_in_training():
    rows = np.arange(4000, dtype=np.int32)
    part = Learned(np.arange(4000), rows, 4000, 2, 3)
    torch.nn.init.ones_(part.table)
    fusion, vectors = Fusion(FusionConfig(dropout=0.3), {"like": SHARED}, {SHARED: part}), torch.ones(4000, 3)
    moved = []
    for step in (1, 2, 1 + (5 << 40)):  # the last is another process's of the first
        torch.manual_seed(step)
        moved.append((fusion(vectors, rows, "like") != vectors).any(1))
    shares = [float(of.float().mean()) for of in (*moved, moved[0] & moved[1])]
    assert np.allclose(shares, [0.7, 0.7, 0.7, 0.49], atol=0.03)
    assert torch.equal(moved[0], moved[2])
    pieces = [(fusion(vectors[of], rows[of], "like") != vectors[of]).any(1) for of in (slice(9), slice(9, 4000))]
    assert torch.equal(torch.cat(pieces), moved[0])
    assert (fusion.eval()(vectors, rows, "like") != vectors).any(1).all()


def test_whose_part_a_task_reads():
    assert owners_of(FusionConfig(items=True), CATALOGUES) == {"like": SHARED, "buy": SHARED}
    assert owners_of(FusionConfig(items=True, sharing="private"), CATALOGUES) == {"like": "like", "buy": "buy"}
    assert owners_of(FusionConfig(features=True), CATALOGUES) == {"like": SHARED, "buy": SHARED}
    assert owners_of(FusionConfig(), CATALOGUES) == {}
