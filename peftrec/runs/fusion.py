"""What a run keeps of what was learned of items themselves: fusion.safetensors, by owner.

<owner>/items   int32 (S,): the items' places in catalogue.parquet, which has their ids
<owner>/table, <owner>/out   see `model.fusion.Learned`
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from peftrec.data.catalogue import ItemTexts
from peftrec.errors import UserError
from peftrec.machine.files import reading
from peftrec.machine.tensors import write_tensors
from peftrec.model.fusion import Fusion, item_rows, make_fusion, owners_of
from peftrec.recipe import FusionConfig

FILE = "fusion.safetensors"
_NAMES = ("items", "table", "out")


def save_fusion(folder: Path, fusion: Fusion) -> None:
    """Write it; nothing where nothing is learned of any item."""
    if fusion.parts:
        kept = {f"{owner}/items": torch.from_numpy(of.items.astype(np.int32)) for owner, of in fusion.parts.items()}
        write_tensors(folder / FILE, {**fusion.named(), **kept})


def load_fusion(
    folder: Path,
    config: FusionConfig,
    items: Mapping[str, ItemTexts],
    catalogues: Mapping[str, str],
    texts: int,
    width: int,
) -> Fusion:
    """The run's, over its catalogues `items`; see `make_fusion`. Raises UserError for a damaged file."""
    stored = read_fusion(folder, config, item_rows(items), catalogues, width)
    known = {owner: of["items"].numpy() for owner, of in stored.items()}
    fusion = make_fusion(config, items, catalogues, known, texts, width)
    with torch.no_grad():
        for owner, part in fusion.parts.items():
            part.table.copy_(stored[owner]["table"])
            part.out.copy_(stored[owner]["out"])
    return fusion


def read_fusion(
    folder: Path, config: FusionConfig, rows: np.ndarray, catalogues: Mapping[str, str], width: int
) -> dict[str, dict[str, Tensor]]:
    """Owner -> its tensors, by the names above; `rows`: the items' text rows (I,). Raises UserError."""
    file = folder / FILE
    if not file.exists():
        return {}
    with reading(file):
        stored = load_file(file)
    owners = dict.fromkeys(key.rpartition("/")[0] for key in stored)
    allowed = set(owners_of(config, catalogues).values())
    if not set(owners) <= allowed or sorted(stored) != sorted(f"{o}/{name}" for o in owners for name in _NAMES):
        raise UserError(f"{file}: damaged: it holds {', '.join(_NAMES)} of {', '.join(sorted(allowed)) or 'nobody'}")
    found = {owner: {name: stored[f"{owner}/{name}"] for name in _NAMES} for owner in owners}
    for owner, of in found.items():
        numbers, size = of["items"], (len(of["items"]), config.dim)
        if numbers.dtype != torch.int32 or numbers.ndim != 1 or not len(numbers):
            raise UserError(f"{file}: damaged: {owner}/items: whole numbers, at least one")
        if not 0 <= int(numbers.min()) <= int(numbers.max()) < len(rows):
            raise UserError(f"{file}: damaged: {owner}/items: the run has the items 0 to {len(rows) - 1}")
        if len(np.unique(rows[numbers.numpy()])) < len(numbers):
            raise UserError(f"{file}: damaged: {owner}/items: two are of one text")
        for name, shape in (("table", size), ("out", (config.dim, width))):
            if of[name].dtype != torch.float32 or tuple(of[name].shape) != shape:
                raise UserError(f"{file}: damaged: {owner}/{name}: float32 {shape}; found {tuple(of[name].shape)}")
            if not torch.isfinite(of[name]).all():
                raise UserError(f"{file}: damaged: {owner}/{name} holds numbers that are not finite")
    return found
