"""The catalogue: popularity as of a moment, and a step's sample of candidates."""

import numpy as np

import peftrec.data.catalogue as catalogues
from peftrec.data.catalogue import FOLDS, Catalogue, Choices, fold_of


def test_a_large_catalogue_is_sampled_anew_every_step(monkeypatch):
    monkeypatch.setattr(catalogues, "CANDIDATES", 50)
    many = Catalogue(np.arange(1000, dtype=np.int32), np.zeros(0, np.int64), np.zeros(0))
    drawn = [many.candidates(0, step) for step in range(400)]
    assert all(len(set(items)) == 50 for items in drawn)
    assert (many.candidates(0, 3) == drawn[3]).all() and (many.candidates(1, 3) != drawn[3]).any()
    assert np.abs(np.bincount(np.concatenate(drawn), minlength=1000) - 20).max() < 25  # 20 each, uniformly


def test_popularity_is_of_choices_strictly_before():
    two = Catalogue(np.zeros(2, np.int32), np.array([0, 1, 0]), np.array([10.0, 20.0, 30.0]))
    counts = np.expm1(two.popularity(np.array([10.0, 10.5, 30.0, np.nan]))).round()
    assert counts.tolist() == [[0, 0], [0, 0], [1, 1], [2, 1]]  # as of the last snapshot; without a time, of all
    own = two.popularity(np.array([30.0, np.nan]), np.array([[1], [0]]))
    assert np.expm1(own).round().tolist() == [[1], [2]]


def test_a_small_catalogue_is_taken_whole():
    few = Catalogue(np.zeros(4, np.int32), np.zeros(0, np.int64), np.zeros(0))
    assert few.candidates(0, 0).tolist() == [0, 1, 2, 3]
    assert few.popularity(np.array([1.0])).tolist() == [[0, 0, 0, 0]]


def test_of_very_many_choices_those_of_every_so_many_users_are_looked_at(monkeypatch):
    users = np.repeat(np.arange(40), 5)
    every = Choices(users, np.arange(200), 200)
    assert every.thinned() is every
    monkeypatch.setattr(catalogues, "LEARNT", 100)
    half = every.thinned()
    assert len(half.users) == 100 and (np.bincount(half.users)[np.unique(half.users)] == 5).all()
    assert np.bincount(fold_of(half.users)).tolist() == [25] * FOLDS
    assert (users[half.items] == half.users).all()
