"""What a run keeps of what joins items' texts: fusion.safetensors, by owner.

<owner>/items   int32 (S,): the items' places in catalogue.parquet, which has their ids
<owner>/table, <owner>/out   see `model.fusion.Learned`
<owner>/features/<catalogue>/levels, .../out.weight   see `tasks.features.FeatureLayer`; how these features are read
                stands under `fusion` in model.json, by <owner>/<catalogue>
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from peftrec.data.catalogue import ItemTexts
from peftrec.data.features import Encoding
from peftrec.errors import UserError
from peftrec.machine.files import reading
from peftrec.machine.tensors import finite, write_tensors
from peftrec.model.fusion import Fusion, Place, item_rows, make_fusion, owners_of
from peftrec.recipe import FusionConfig
from peftrec.runs.damage import check_encoding
from peftrec.runs.tables import as_encoding, describe_encoding
from peftrec.tasks.features import SIZE

FILE = "fusion.safetensors"
_NAMES = ("items", "table", "out")
_LAYER = ("levels", "out.weight")


@dataclass(frozen=True)
class Stored:
    """What a run has: owner -> tensors of what was learned of items, by _NAMES; owner and catalogue -> how features are
    read, and the tensors of what they add, by _LAYER."""

    learned: dict[str, dict[str, Tensor]]
    encodings: dict[Place, Encoding]
    layers: dict[Place, dict[str, Tensor]]


def save_fusion(folder: Path, fusion: Fusion) -> None:
    """Write it; nothing where nothing joins the text of any item."""
    if fusion.held:
        kept = {f"{owner}/items": torch.from_numpy(of.items.astype(np.int32)) for owner, of in fusion.parts.items()}
        write_tensors(folder / FILE, {**fusion.named(), **kept})


def describe_fusion(fusion: Fusion) -> dict[str, Any]:
    """How features are read, as model.json has it; nothing where none join."""
    said = {"/".join(place): describe_encoding(of.encoding) for place, of in fusion.described.items()}
    return {"fusion": said} if said else {}


def load_fusion(
    folder: Path,
    config: FusionConfig,
    items: Mapping[str, ItemTexts],
    catalogues: Mapping[str, str],
    said: Mapping[str, Any],
    texts: int,
    width: int,
) -> Fusion:
    """The run's, over its catalogues `items`; see `make_fusion` and `read_fusion`. Raises UserError for a damaged
    file."""
    stored = read_fusion(folder, config, items, catalogues, said, width)
    known = {owner: of["items"].numpy() for owner, of in stored.learned.items()}
    fusion = make_fusion(config, items, catalogues, known, stored.encodings, texts, width)
    with torch.no_grad():
        for owner, part in fusion.parts.items():
            part.table.copy_(stored.learned[owner]["table"])
            part.out.copy_(stored.learned[owner]["out"])
        for place, described in fusion.described.items():
            described.layer.load_state_dict(stored.layers[place])
    return fusion


def read_fusion(
    folder: Path,
    config: FusionConfig,
    items: Mapping[str, ItemTexts],
    catalogues: Mapping[str, str],
    said: Mapping[str, Any],
    width: int,
) -> Stored:
    """What is stored. `catalogues`: task -> the one that its items are of; `said`: what model.json says of features.

    Raises UserError.
    """
    file = folder / FILE
    if not file.exists():
        if said:
            raise UserError(f"{file}: missing; model.json says of {', '.join(said)} how features are read")
        return Stored({}, {}, {})
    with reading(file):
        stored = load_file(file)
    owner_of = owners_of(config, catalogues)
    owners = dict.fromkeys(owner for owner in owner_of.values() if f"{owner}/items" in stored)
    allowed = {f"{owner}/{catalogues[task]}": (owner, catalogues[task]) for task, owner in owner_of.items()}
    if unknown := sorted(set(said) - set(allowed)):
        raise UserError(f"{folder / 'model.json'}: damaged: fusion: {unknown[0]}: no task reads it")
    places = {key: allowed[key] for key in said}
    wanted = [f"{owner}/{name}" for owner in owners for name in _NAMES]
    wanted += [f"{owner}/features/{of}/{name}" for owner, of in places.values() for name in _LAYER]
    if sorted(stored) != sorted(wanted):
        named = ", ".join(dict.fromkeys(owner_of.values())) or "nobody"
        features = f", and what features add of {', '.join(said)}" if said else ""
        raise UserError(f"{file}: damaged: it holds {', '.join(_NAMES)} of {named}{features}")
    encodings = {place: as_encoding(said[key]) for key, place in places.items()}
    for (owner, of), encoding in encodings.items():
        check_encoding(f"{folder / 'model.json'}: damaged: fusion.{owner}/{of}", said[f"{owner}/{of}"])
        has = {*items[of].features.numbers}, {*items[of].features.categories}
        if not (set(encoding.numbers) <= has[0] and set(encoding.categories) <= has[1]):
            raise UserError(
                f"{folder / 'model.json'}: damaged: fusion.{owner}/{of}: items of {of} have no such features"
            )
        sizes = {"levels": (sum(encoding.columns), SIZE)}
        sizes["out.weight"] = (width, 2 * len(encoding.numbers) + SIZE * len(encoding.categories))
        for name, shape in sizes.items():
            _check(file, f"{owner}/features/{of}/{name}", stored, shape)
    learned = {owner: {name: stored[f"{owner}/{name}"] for name in _NAMES} for owner in owners}
    for owner, tensors in learned.items():
        _check_learned(file, owner, tensors["items"], item_rows(items))
        _check(file, f"{owner}/table", stored, (len(tensors["items"]), config.dim))
        _check(file, f"{owner}/out", stored, (config.dim, width))
    layers = {
        (owner, of): {name: stored[f"{owner}/features/{of}/{name}"] for name in _LAYER} for owner, of in encodings
    }
    return Stored(learned, encodings, layers)


def _check_learned(file: Path, owner: str, numbers: Tensor, rows: np.ndarray) -> None:
    """`rows`: the items' text rows (I,)."""
    if numbers.dtype != torch.int32 or numbers.ndim != 1 or not len(numbers):
        raise UserError(f"{file}: damaged: {owner}/items: whole numbers, at least one")
    if not 0 <= int(numbers.min()) <= int(numbers.max()) < len(rows):
        raise UserError(f"{file}: damaged: {owner}/items: the run has the items 0 to {len(rows) - 1}")
    if len(np.unique(rows[numbers.numpy()])) < len(numbers):
        raise UserError(f"{file}: damaged: {owner}/items: two are of one text")


def _check(file: Path, name: str, stored: Mapping[str, Tensor], shape: tuple[int, ...]) -> None:
    found = stored[name]
    if found.dtype != torch.float32 or tuple(found.shape) != shape:
        raise UserError(f"{file}: damaged: {name}: float32 {shape}; found {tuple(found.shape)}")
    if not finite(found):
        raise UserError(f"{file}: damaged: {name} holds numbers that are not finite")
