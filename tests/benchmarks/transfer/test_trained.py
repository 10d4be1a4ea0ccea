"""A cell is trained by a recipe over the tables that it is given, wherever these lay."""

import json

import pandas as pd
import yaml
from tiny import make_tiny_shop

from benchmarks.transfer.trained import trained


def test_the_tables_are_those_given_and_the_run_stays(tmp_path):
    model = make_tiny_shop(tmp_path) / "model"
    table = pd.DataFrame({"text": [f"w{n % 4}" for n in range(60)], "label": [f"c{n % 2}" for n in range(60)]})
    recipe = {
        "tables": {"texts": {"kind": "texts", "text": "{text}", "split": "random"}},
        "tasks": {"of": {"kind": "classification", "label": "label"}},
    }
    train = {"epochs": 1, "seed": 3}
    run = trained(tmp_path / "run", {"texts": table}, {"name": str(model)}, recipe, train=train)
    assert run == tmp_path / "run" and json.loads((run / "report.json").read_text())["tasks"]["of"]["n"] == 12
    assert yaml.safe_load((run / "run.yaml").read_text())["train"]["seed"] == 3
