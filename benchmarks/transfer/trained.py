"""A training of one cell: its tables written, its recipe trained with everything else by default, its report read."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.card.tables import Frames
from peftrec.recipe import make_recipe
from peftrec.training.loop import train


def trained(run: Path, frames: Frames, backbone: dict[str, Any], recipe: dict[str, Any], **more: Any) -> Path:
    """The run folder of a recipe whose tables are `frames`; `recipe`: {"tables": keys but for the paths, "tasks"};
    `more`: further sections."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder) / f"{name}.parquet") for name in frames}
        for name, frame in frames.items():
            frame.to_parquet(files[name], index=False)
        tables = {name: {**keys, "path": files[name]} for name, keys in recipe["tables"].items()}
        raw = {"backbone": backbone, "data": {"tables": tables}, "tasks": recipe["tasks"], **more}
        return train(make_recipe(raw), run=run)
