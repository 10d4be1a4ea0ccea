"""The scores of a catalogue: those of the model's own ranker, computed in fewer steps and from what was kept."""

import threading

import numpy as np
import pytest
from habits import ITEMS, runs_by_rule

from peftrec.errors import UserError
from peftrec.serving import scoring
from peftrec.serving.predictor import Predictor
from peftrec.serving.scoring import Scoring

ROWS = [{"user": "u3"}, {"history": []}, {"history": ["i1", "i5", "i1"]}, {"user": "u9"}]


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    """A task that ranks its catalogue, by each rule on repeats."""
    return {rule: Predictor.load(run) for rule, run in runs_by_rule(shop, tmp_path_factory).items()}


def examples_of(predictor, task, rows, item):
    examples = predictor._reader.examples(task, [row | {"item": item} for row in rows])
    predictor.model.encoder.update({task: examples.text_rows()})
    return examples


@pytest.mark.parametrize("rule", ["allow", "exclude"])
def test_a_catalogue_s_scores_are_its_ranker_s(runs, rule):
    predictor = runs[rule]
    examples = examples_of(predictor, "next", ROWS, "i0")
    expected = predictor.model.ranker("next", predictor.run.items_of("next").rows)(examples)
    found = Scoring(predictor.run, predictor._reader).scores("next", examples, np.ones((4, ITEMS), bool))
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std(1).min() > 0.05
    for row, one in enumerate(found):  # alone as together
        (alone,) = Scoring(predictor.run, predictor._reader).scores(
            "next", examples.take(np.array([row])), np.ones((1, ITEMS), bool)
        )
        assert alone == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(predictor, monkeypatch, value):
    """As of a head whose weights are near the largest number that there is."""
    monkeypatch.setattr(predictor.model, "predict", lambda task, examples: np.full(len(examples), value, np.float32))
    for ask in (
        lambda: predictor.predict("interest", [{"history": [], "item": "i1"}]),
        lambda: predictor.recommend("interest", history=[], k=3),
    ):
        with pytest.raises(UserError, match="'interest': the run's numbers are so large that what it says is none"):
            ask()


@pytest.mark.parametrize("task", ["interest", "query"])
def test_items_that_are_asked_about_are_scored_as_all_are(predictor, monkeypatch, task):
    rows = [{"query": "horror"}, {"query": "a cooking film"}] if task == "query" else ROWS[:2]
    examples, items = examples_of(predictor, task, rows, "i0"), predictor.run.items_of(task)
    grades = predictor.run.tasks[task].grades(predictor.run.described[task]["classes"])
    expected = predictor.model.ranker(task, items.rows, grades)(examples)
    asked = np.random.default_rng(0).random(expected.shape) < 0.4
    assert Scoring(predictor.run, predictor._reader).scores(task, examples, asked)[asked] == pytest.approx(
        expected[asked], abs=1e-5
    )
    for most in (scoring.MOST_KEPT, 0):  # from kept vectors, and from those encoded anew
        monkeypatch.setattr(predictor.model.encoder, "known", {})
        monkeypatch.setattr(scoring, "MOST_KEPT", most)
        found = Scoring(predictor.run, predictor._reader).scores(task, examples, asked)
        assert found[asked] == pytest.approx(expected[asked], abs=1e-5)


def test_items_are_encoded_once(predictor, monkeypatch):
    """Of a run that has not kept what its items are encoded as."""
    encoder, encoded = predictor.model.encoder, []
    monkeypatch.setattr(encoder, "known", {})
    plain = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda rows, task: (encoded.append(len(rows)), plain(rows, task))[1])
    own, items = Scoring(predictor.run, predictor._reader), predictor.run.items_of("interest")
    for user in ("u1", "u2"):
        examples = examples_of(predictor, "interest", [{"user": user}], "i0")
        own.scores("interest", examples, np.ones((1, len(items)), bool))
        own.vectors("interest", np.array([3, 1, 3]))
    assert encoded == [len(items)]


def test_items_are_encoded_in_blocks_between_which_others_ask(shop_run, monkeypatch):
    """Of a run that has not kept its items' vectors, as of an earlier version."""
    predictor = Predictor.load(shop_run)
    expected = predictor.recommend("interest", user="u1", k=5)
    predictor.model.encoder.known = {}
    own, lock, encoded = predictor.recommender.scoring, predictor.model.encoder.backbone.lock, []
    asked, plain = [], own._encoded

    def block(task, rows):
        encoded.append(len(rows))
        asker = threading.Thread(target=lambda: asked.append((lock.acquire(), len(encoded), lock.release())))
        asker.start()
        askers.append(asker)
        return plain(task, rows)

    askers: list[threading.Thread] = []
    monkeypatch.setattr(scoring, "BLOCK", 8)
    monkeypatch.setattr(own, "_encoded", block)
    own.prepare("interest")
    for asker in askers:
        asker.join()
    items = predictor.run.items_of("interest")
    assert encoded == [8, 8, 8, 6] and len(asked) == 4 and len(items) == 30
    own.prepare("interest")
    assert len(encoded) == 4
    monkeypatch.setattr(predictor.model.encoder, "_encode", lambda rows, task: pytest.fail("encoded again"))
    found = predictor.recommend("interest", user="u1", k=5)
    assert [one["item"] for one in found] == [one["item"] for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-6)
