"""The priors `frozen_lr` and `layers_lr`: linear models on what the frozen backbone says of texts, before any training.

Of its vector, and of what its upper layers say: vectors that were trained for likeness keep what a text is about,
and layers below the last one know more of its mood (that tasks differ in the layers they gain from: Peters et al. 2018,
arXiv:1802.05365).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.unit import of_length_one
from peftrec.tasks.priors.choice import Chosen, Tried, best, held_out, judge, learn, once, predicted
from peftrec.tasks.priors.linear import Linear, linear, read_linear
from peftrec.tasks.priors.pool import finite, out_of_fold

Vectors = Callable[[np.ndarray], np.ndarray]  # text rows (N,) -> the frozen backbone's pooled vectors float32 (N, D)
Shape = Callable[[Examples, Vectors], np.ndarray]  # rows, vectors -> features float32 (N, F)


@runtime_checkable
class Layered(Protocol):
    """Vectors that come with what several layers of the frozen backbone say, `columns` numbers of a text."""

    columns: int

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Text rows (N,) -> the pooled vectors float32 (N, D)."""

    def of_layers(self, rows: np.ndarray) -> np.ndarray:
        """Text rows (N,) -> the layers' pooled states side by side, float32 (N, columns)."""

    def have_layers(self, rows: np.ndarray) -> None:
        """Have them computed and kept, which shows its progress."""


MOST_ROWS = 20_000  # of the train and of the validation rows, so that their texts are encoded in minutes
MOST_WORK = 2_000_000_000  # train rows times features times classes: 10 to 20 seconds of one core a fit
MOST_NUMBERS = 1 << 25  # train rows times features of layers: 134 MB, which are copied a few times
FEWEST_ROWS = 10  # a class, below which thinning the train rows costs more than a simpler model
PREDICTED_ROWS = 16_384  # at once
ITERATIONS = 200
LEAST_SPREAD = 1e-6  # of the largest: of columns that hardly differ, a row that does would be everything
STRENGTHS = (0.1, 0.01, 1.0, 10.0)  # C of features whose mean square is 1; the first is tried with every scale
PENALTIES = (100.0, 1000.0, 10.0, 1.0)  # of ridge regression, likewise
LAYER_STRENGTHS = (0.003, 0.001, 0.01, 0.03, 0.1)  # of layers, whose features are several times as many
LAYER_PENALTIES = (1000.0, 3000.0, 300.0, 100.0, 10_000.0)


class Way(NamedTuple):
    """What a text or pair of texts is to the model, how it is scaled, and how free the model is."""

    shape: str
    scale: str
    strength: float


@dataclass(frozen=True)
class VectorScores:
    """A linear model on the frozen backbone's vectors."""

    shape: str
    unit: bool  # whether features are brought to length 1
    model: Linear
    vectors: Vectors

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-scores (N, C), up to one factor, or numbers (N,)."""
        return in_blocks(rows, _ready(self.shape, self.vectors), self._block) if len(rows) else self.model.of_none()

    def _block(self, rows: Examples) -> np.ndarray:
        features = SHAPES[self.shape](rows, self.vectors)
        return self.model(of_length_one(features) if self.unit else features)

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors."""
        return {"shape": self.shape, "unit": self.unit}

    def tensors(self) -> dict[str, np.ndarray]:
        """The linear model."""
        return self.model.tensors()


def in_blocks(
    rows: Examples, ready: Callable[[np.ndarray], object], said: Callable[[Examples], np.ndarray]
) -> np.ndarray:
    """What is said of rows, at least one, by blocks of them; `ready` computes before what their texts are read by, of
    all together, which shows its progress."""
    ready(rows.text_rows())
    return np.concatenate([said(block) for block in rows.blocks(PREDICTED_ROWS)])


def read_vectors(
    settings: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    vectors: Vectors,
    width: int,
    slots: Collection[str],
    classes: int,
) -> VectorScores:
    """What was kept so, of vectors of that width of rows with these slots. Raises KeyError, TypeError or ValueError for
    what is none."""
    shape, unit = settings["shape"], settings["unit"]
    sizes = {"concatenated": len(slots) * width}
    if set(slots) == {"query", "item"}:
        sizes |= {"pair": 4 * width + 2, "likeness": 2}
    if set(slots) == {"text"} and isinstance(vectors, Layered):
        sizes |= {LAYERS: vectors.columns}
    if shape not in sizes or not isinstance(unit, bool):
        raise ValueError(f"shape: of {', '.join(sizes)}, and unit, true or false; found {shape!r} and {unit!r}")
    return VectorScores(shape, unit, read_linear(tensors, sizes[shape], classes), vectors)


def frozen_lr(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray:
    """Class or grade probabilities (N, C), or numbers (N,): logistic or ridge regression on frozen vectors.

    Of a text its vector; of query and item both, their difference and product, or only their cosine and distance.
    First shape and scale are chosen, then the strength. Sees every so many of more than `MOST_ROWS` train rows, or
    fewer where there are many classes; where that leaves few rows a class, the classes' mean vectors are compared.
    """
    chosen = choose_vectors(dataset, task, vectors)
    return predicted(chosen, dataset.tasks[task], examples)


def layers_lr(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray | None:
    """As `frozen_lr` of what a text's upper layers say. None of rows of other slots, and where rows would have to be
    left out to fit it soon: of more than MOST_WORK / (columns times classes), or MOST_NUMBERS / columns.
    """
    chosen = choose_layers(dataset, task, vectors)
    return None if chosen is None else predicted(chosen, dataset.tasks[task], examples)


def cosine(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray:
    """Grade probabilities (N, C): logistic regression on cosine and distance of query and item alone."""
    chosen = choose_likeness(dataset, task, vectors)
    return predicted(chosen, dataset.tasks[task], examples)


@once
def choose_likeness(dataset: Dataset, task: str, vectors: Vectors) -> Chosen[VectorScores]:
    """The strength that the validation rows choose; see `cosine`."""
    return _choose(dataset, task, vectors, [("likeness", "standardised")])


@once
def choose_vectors(dataset: Dataset, task: str, vectors: Vectors) -> Chosen[VectorScores]:
    """The shape, the scale and the strength that the validation rows choose; see `frozen_lr`."""
    return _choose(dataset, task, vectors, _first(dataset.tasks[task].train))


@once
def choose_layers(dataset: Dataset, task: str, vectors: Vectors) -> Chosen[VectorScores] | None:
    """The strength that the validation rows choose; see `layers_lr`."""
    data = dataset.tasks[task]
    if data.train.slots.keys() != {"text"} or not isinstance(vectors, Layered):
        return None
    rows = min(len(data.train), MOST_ROWS)
    quick = affordable(rows, vectors.columns, len(data.classes)) == (rows, False)
    if not quick or rows * vectors.columns > MOST_NUMBERS:
        return None
    return _choose(dataset, task, vectors, [(LAYERS, "standardised")])


@once
def folds_of_vectors(dataset: Dataset, task: str, vectors: Vectors) -> np.ndarray:
    """What is said of the train rows, (N, C) or (N,), by models that were chosen so and not fitted on them."""
    data = dataset.tasks[task]
    return finite(out_of_fold(data.train, len(data.classes), choose_vectors(dataset, task, vectors).fit))


@once
def folds_of_layers(dataset: Dataset, task: str, vectors: Vectors) -> np.ndarray | None:
    """As `folds_of_vectors`, of layers."""
    data, chosen = dataset.tasks[task], choose_layers(dataset, task, vectors)
    return None if chosen is None else finite(out_of_fold(data.train, len(data.classes), chosen.fit))


def _choose(dataset: Dataset, task: str, vectors: Vectors, first: list[tuple[str, str]]) -> Chosen[VectorScores]:
    """The best of some shapes and scales, and then the best strength of it."""
    data = dataset.tasks[task]
    classes = len(data.classes)
    fitted, check = (rows.thinned(MOST_ROWS) for rows in held_out(data))

    def fit(way: Way, rows: Examples) -> VectorScores:
        rows = rows.thinned(MOST_ROWS)
        features = SHAPES[way.shape](rows, vectors)
        most, simple = affordable(len(rows), features.shape[1], classes)
        if most < len(rows):
            return fit(way, rows.thinned(most))
        scale = _scaler(way.scale).fit(features)
        if way.scale == "standardised":
            scale.scale_ = np.maximum(scale.scale_, LEAST_SPREAD * scale.scale_.max())
        model = fit_linear(scale.transform(features), rows.label, way.strength, classes, simple)
        if way.scale == "standardised":
            model = model.of_unscaled(scale.mean_, scale.scale_)
        return VectorScores(way.shape, way.scale == "unit length", model, vectors)

    def attempt(way: Way) -> Tried:
        return judge(way, fit(way, fitted)(check), check.label)

    # All at once: what is computed shows its progress.
    texts = np.unique(np.concatenate([rows.text_rows() for rows in (fitted, check, data.train.thinned(MOST_ROWS))]))
    _ready(first[0][0], vectors)(texts)
    tried = [attempt(Way(shape, scale, _strengths(shape, classes)[0])) for shape, scale in first]
    found = best(tried).way
    more = (attempt(found._replace(strength=of)) for of in _strengths(found.shape, classes)[1:])
    chosen = best([*tried, *more])

    def again(rows: Examples) -> VectorScores:
        return fit(chosen.way, rows)

    return Chosen(chosen, check, again, again(data.train))


def _first(rows: Examples) -> list[tuple[str, str]]:
    """What is tried first."""
    if rows.slots.keys() == {"query", "item"}:
        return [("likeness", "standardised"), *(("pair", scale) for scale in SCALES)]
    return [("concatenated", scale) for scale in SCALES]


def _strengths(shape: str, classes: int) -> tuple[float, ...]:
    """How free the model may be; the first is tried with every scale."""
    if shape == LAYERS:
        return LAYER_STRENGTHS if classes else LAYER_PENALTIES
    return STRENGTHS if classes else PENALTIES


def _layered(vectors: Vectors) -> Layered:
    assert isinstance(vectors, Layered)
    return vectors


def _ready(shape: str, vectors: Vectors) -> Callable[[np.ndarray], object]:
    """What has text rows (N,) computed for a shape."""
    return _layered(vectors).have_layers if shape == LAYERS else vectors


def _of_layers(rows: Examples, vectors: Vectors) -> np.ndarray:
    """What the layers say of a text (N, columns)."""
    return _layered(vectors).of_layers(rows.slots["text"])


def _concatenated(rows: Examples, vectors: Vectors) -> np.ndarray:
    """The vectors of all slots (N, S * D)."""
    return np.concatenate([vectors(rows.slots[slot]) for slot in sorted(rows.slots)], 1)


def _pair(rows: Examples, vectors: Vectors) -> np.ndarray:
    """Query, item, their difference, product and likeness (N, 4 D + 2), after Conneau et al. 2017, arXiv:1705.02364."""
    query, item = (vectors(rows.slots[slot]) for slot in ("query", "item"))
    return np.concatenate([query, item, np.abs(query - item), query * item, _likeness(rows, vectors)], 1)


def _likeness(rows: Examples, vectors: Vectors) -> np.ndarray:
    """Cosine and distance of query and item (N, 2)."""
    query, item = (vectors(rows.slots[slot]) for slot in ("query", "item"))
    size = np.maximum(np.linalg.norm(query, axis=1) * np.linalg.norm(item, axis=1), 1e-9)
    return np.stack([(query * item).sum(1) / size, np.linalg.norm(query - item, axis=1)], 1)


LAYERS = "layers"
SHAPES: dict[str, Shape] = {
    "concatenated": _concatenated,
    LAYERS: _of_layers,
    "pair": _pair,
    "likeness": _likeness,
}
SCALES = ("plain", "unit length", "standardised")


def _scaler(scale: str) -> Any:
    from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

    return {"plain": FunctionTransformer, "unit length": Normalizer, "standardised": StandardScaler}[scale]()


def affordable(rows: int, columns: int, classes: int) -> tuple[int, bool]:
    """How many of the rows a model of so many features is fitted to, and whether it is the simple one, to all."""
    most = MOST_WORK // (columns * max(1, classes))
    simple = most < min(rows, FEWEST_ROWS * classes)
    return (rows if simple else min(rows, most)), simple


def fit_linear(features: np.ndarray, label: np.ndarray, strength: float, classes: int, simple: bool) -> Linear:
    """Logistic or ridge regression on features (N, F), or the classes' means; `strength`: see STRENGTHS, PENALTIES."""
    unit = float(np.mean(np.square(features, dtype=np.float64)))
    return linear(learn(_model(strength, unit, classes, simple), features, label), classes)


def _model(strength: float, unit: float, classes: int, simple: bool) -> Any:
    """An unfitted model for features whose mean square is `unit`."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if not classes:
        return Ridge(alpha=strength * unit)
    return ClassMeans() if simple else LogisticRegression(C=strength / unit, max_iter=ITERATIONS)


class ClassMeans:
    """Scores are inner products with the classes' mean features."""

    def fit(self, features: np.ndarray, label: np.ndarray) -> "ClassMeans":
        """From features (N, F) and class numbers (N,)."""
        self.classes_, row = np.unique(label, return_inverse=True)
        sums = np.zeros((len(self.classes_), features.shape[1]))
        np.add.at(sums, row, features)
        self.means = sums / np.bincount(row)[:, None]
        return self

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        """Scores (N, K) of the classes seen."""
        scores: np.ndarray = features @ self.means.T
        return scores
