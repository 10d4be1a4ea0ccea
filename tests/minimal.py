"""The shortest recipe, and a `train` that leaves nothing open."""

QUICK = {"head_lr": 2e-3, "schedule": "linear", "weight_decay": 0.01, "dropout": 0.1, "early_stopping": None}

MINIMAL = {
    "backbone": {"name": "some/model"},
    "data": {"source": "movielens-100k"},
    "tasks": {"interest": {"kind": "interest"}},
}
