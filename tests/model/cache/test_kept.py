"""Vectors that were kept: taken where they are there, encoded where they are not, and not told from those encoded."""

import numpy as np
import pytest
import torch
from encoders import ROWS, configured, make_encoder, perturb

from peftrec.model.backbone.families import tiny_backbone
from peftrec.model.cache.kept import KeptVectors


def test_what_is_there_is_taken_and_the_rest_encoded():
    table, asked = torch.arange(40.0).reshape(20, 2), []

    def encode(rows):
        asked.append(rows.tolist())
        return -table[torch.from_numpy(rows)]

    kept = KeptVectors(np.array([2, 5, 9]), table[[2, 5, 9]])
    assert kept.of(np.array([9, 2, 2]), encode).tolist() == table[[9, 2, 2]].tolist()
    assert asked == []
    assert kept.of(np.array([1, 5, 19, 9]), encode).tolist() == [[-2, -3], [10, 11], [-38, -39], [18, 19]]
    assert kept.of(np.array([0, 3]), encode).tolist() == [[0, -1], [-6, -7]]
    assert asked == [[1, 19], [0, 3]]


@pytest.mark.parametrize("method", ["lora", "side"])
def test_an_encoder_takes_them_inside_the_block_alone(method):
    encoder = make_encoder(tiny_backbone("BERT"), {"query": configured(method), "other": configured(method)})
    perturb(encoder)
    with torch.no_grad():
        plain, other = encoder.encode(ROWS, "query"), encoder.encode(ROWS, "other")
        kept = KeptVectors(ROWS[1:3], torch.full((2, plain.shape[1]), 7.0))
        with encoder.with_vectors("query", kept):
            found = encoder.encode(ROWS, "query")
            torch.testing.assert_close(encoder.encode(ROWS, "other"), other)
        assert (found[1:3] == 7).all()
        torch.testing.assert_close(found[3:], plain[3:], atol=1e-5, rtol=0)
        with encoder.with_vectors("query", None):
            torch.testing.assert_close(encoder.encode(ROWS, "query"), plain)
        torch.testing.assert_close(encoder.encode(ROWS, "query"), plain)
