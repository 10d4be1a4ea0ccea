"""Features in heads: what is added before and after something is learnt."""

import torch

from peftrec.data.batches import HeadInput
from peftrec.data.signals import SIGNALS
from peftrec.tasks.features import SIZE, Beside, FeatureLayer, feature_layer
from peftrec.tasks.heads import HeadShape, TextHead
from peftrec.tasks.history_head import HistoryHead
from peftrec.tasks.match_query import TowerHead
from peftrec.tasks.next_item import RetrievalHead

COLUMNS = (0, 0, 3, 2)  # a number, its mark, a category of two known levels, one of one
FEATURES = torch.tensor([[0.5, 0, 2, 1], [-1, 0, 0, 0], [0, 1, 1, 1]])


def test_the_layer_starts_at_zero_and_then_is_linear_in_numbers_and_in_levels():
    layer = FeatureLayer(COLUMNS, 4)
    assert torch.equal(layer(FEATURES), torch.zeros(3, 4))
    assert not layer.levels[[0, 3]].any() and layer.levels[[1, 2, 4]].all()  # of the unknown levels nothing is known
    torch.nn.init.normal_(layer.out.weight)
    weight = layer.out.weight
    of_number, first, second = weight[:, :2], weight[:, 2 : 2 + SIZE], weight[:, 2 + SIZE :]
    wanted = of_number @ FEATURES[0, :2] + first @ layer.levels[2] + second @ layer.levels[4]
    torch.testing.assert_close(layer(FEATURES)[0], wanted)
    torch.testing.assert_close(layer(FEATURES)[1], -of_number[:, 0])
    assert set(layer.state_dict()) == {"levels", "out.weight"}


def test_without_columns_there_is_no_layer_and_a_head_has_the_weights_that_it_had():
    assert feature_layer((), 4) is None
    for head in (HistoryHead, TowerHead, RetrievalHead, TextHead):
        names = head(HeadShape(16, 3, 0, 0.0)).state_dict()
        assert not any("known" in name for name in names)
        more = head(HeadShape(16, 3, 0, 0.0, of_item=COLUMNS, of_asker=COLUMNS)).state_dict()
        assert names.keys() < more.keys()


def batch(**features: torch.Tensor) -> HeadInput:
    """Three rows over ten texts."""
    generator = torch.Generator().manual_seed(0)
    return HeadInput(
        vectors=torch.randn(10, 16, generator=generator),
        slots={"item": torch.tensor([0, 1, 2]), "query": torch.tensor([3, 4, 5]), "pair": torch.tensor([6, 7, 8])},
        history=torch.tensor([[-1, 4], [5, 6], [-1, -1]]),
        feedback=torch.tensor([[0.0, 1], [1, 0], [0, 0]]),
        features=torch.zeros(3, 0),
        candidates=torch.tensor([0, 2, 7]),
        barred=torch.tensor([[True, False, False], [False] * 3, [False, True, False]]),  # the rows' own items
        signals=torch.zeros(3, 4, len(SIGNALS)),
        **features,
    )


def test_every_head_begins_as_without_features_and_reads_them_once_they_have_weights():
    known = batch(of_item=FEATURES, of_asker=FEATURES, of_candidates=FEATURES)
    for make in (HistoryHead, TowerHead, RetrievalHead, TextHead):
        torch.manual_seed(0)
        without = make(HeadShape(16, 3, 0, 0.0)).eval()
        if make is RetrievalHead:
            torch.nn.init.normal_(without.user[-1].weight)  # it begins at zero, whatever the user is
        head = make(HeadShape(16, 3, 0, 0.0, of_item=COLUMNS, of_asker=COLUMNS)).eval()
        head.load_state_dict(without.state_dict(), strict=False)
        plain = without(batch())
        assert torch.equal(head(known), plain)
        for name, weights in head.named_parameters():
            if "known" in name and name.endswith("out.weight"):
                torch.nn.init.normal_(weights)
                assert not torch.equal(head(known), plain), (make, name)
                torch.nn.init.zeros_(weights)


def test_retrieval_scores_each_candidate_by_its_own_features():
    torch.manual_seed(0)
    head = RetrievalHead(HeadShape(16, 0, 0, 0.0, of_item=COLUMNS, of_asker=COLUMNS)).eval()
    for layer in (head.known_item.out, head.known_user.out, head.user[-1]):
        torch.nn.init.normal_(layer.weight)
    rows = batch(of_item=FEATURES, of_asker=FEATURES, of_candidates=FEATURES)
    offered, bias = head.items(rows.vectors)
    offered, bias = head.with_features(offered[rows.candidates], bias[rows.candidates], FEATURES)
    wanted = head.users(rows) @ offered.T + bias
    wanted[0, 0] = wanted[2, 1] = float("-inf")  # the rows' own items
    torch.testing.assert_close(head(rows)[:, 1:], wanted)


def test_beside_adds_what_is_known_of_item_and_asker():
    beside = Beside(COLUMNS, (0,), 4)
    torch.nn.init.normal_(beside.item.out.weight)
    torch.nn.init.normal_(beside.asker.out.weight)
    rows = batch(of_item=FEATURES, of_asker=FEATURES[:, :1])
    wanted = 1 + beside.item(FEATURES) + beside.asker(FEATURES[:, :1])
    torch.testing.assert_close(beside(torch.ones(3, 4), rows), wanted)
