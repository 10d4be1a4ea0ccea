"""CLINC150: 23,700 customer-service utterances, 150 intents and the class 'oos' (out of scope), with their own splits.

Larson et al. 2019, An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction (CC BY 3.0). Reads
`data_full.json` of https://github.com/clinc/oos-eval: split name -> [[text, class], ...].
"""

from pathlib import Path

import pyarrow as pa

from peftrec.data.entry import make_texts
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.tables import Tables
from peftrec.errors import UserError, shown
from peftrec.machine.files import read_json
from peftrec.recipe import SplitConfig, TextsConfig

_SPLITS = {
    "train": "train",
    "oos_train": "train",
    "val": "valid",
    "oos_val": "valid",
    "test": "test",
    "oos_test": "test",
}

_CONFIG = TextsConfig(path="", text="{text}", label="label", split=SplitConfig(kind="given", column="split"))


def load(path: Path | None) -> Tables:
    """Texts with their class and split. `path` is the folder of data_full.json. Raises UserError."""
    if path is None:
        raise UserError(
            "data.path: clinc150 needs the folder of data_full.json (from github.com/clinc/oos-eval, data/)"
        )
    file = source_file(path, "data_full.json")
    content = read_json(file)
    if not isinstance(content, dict) or set(content) != set(_SPLITS):
        raise UserError(f"{file}: must map {', '.join(_SPLITS)} to lists; found {str(content)[:80]}")
    columns: dict[str, list[str]] = {"text": [], "label": [], "split": []}
    for name, pairs in content.items():
        for row, pair in enumerate(pairs):
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
                raise UserError(f"{file}: {name}, row {row + 1}: must be [text, class]; found {shown(pair)}")
            columns["text"].append(pair[0])
            columns["label"].append(pair[1])
            columns["split"].append(_SPLITS[name])
    rows = Rows(str(file), pa.table(columns))
    return Tables({"texts": make_texts(rows, _CONFIG)})
