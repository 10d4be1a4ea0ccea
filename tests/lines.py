"""Lines of the score card, as `benchmarks.card.judge.judged` gives them, and runs that are not made but have one."""

import json

from benchmarks import children

WON = {
    "metric": "auc", "higher": True, "n": 9, "start": 0.5, "result": 0.75, "interval": [0.7, 0.8],
    "prior": {"name": "rates", "value": 0.7, "by": 0.05, "interval": [0.01, 0.1]},
    "baseline": {"name": "knn", "value": 0.6, "by": 0.15, "interval": [0.1, 0.2], "all": {"knn": 0.6}},
    "chance": 0.5, "rival": "rates", "verdict": "win", "kind": "interest",
}  # fmt: skip
LOST = {
    "metric": "mae", "higher": False, "n": 1200, "start": 2.0, "result": 1.5, "interval": [1.4, 1.6],
    "prior": {"name": "median", "value": 1.9, "by": 0.4, "interval": [0.3, 0.5]},
    "baseline": {"name": "boosting", "value": 1.2, "by": -0.3, "interval": [-0.4, -0.2], "all": {"boosting": 1.2}},
    "chance": 2.5, "rival": "boosting", "verdict": "loss", "kind": "regression",
}  # fmt: skip


def pretend_runs(monkeypatch, module, key, fails):
    """Names of what was run from now on, of the spec's `key`, in processes of `module` alone; `fails` fails."""
    names: list[str] = []

    def pretend(asked, folder, spec):
        assert asked == module
        names.append(spec[key])
        if spec[key] == fails:
            return "its last words"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({**spec, "tasks": {"like": WON}}))
        return ""

    monkeypatch.setattr(children, "run_anew", pretend)
    return names
