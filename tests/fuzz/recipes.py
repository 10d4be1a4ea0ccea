"""Recipes: most pass validation, drawn from all that a recipe may say; the others are one change away from that."""

from random import Random
from typing import Any

from fuzz.changes import as_json, changed, damaged, deep, put
from fuzz.judge import Case
from fuzz.world import World

METHODS = {
    "lora": {"r": [1, 2, 64], "lora_alpha": [0, 1, -3], "lora_dropout": [0, 0.5, 1], "bias": ["none", "all"]},
    "dora": {"r": [1, 2], "target_modules": [["query"], "all-linear", "query|value", "nothing"]},
    "adalora": {"init_r": [2, 4], "target_r": [1, 2, 4], "tinit": [0, 1], "tfinal": [0, 1]},
    "ia3": {"feedforward_modules": [["dense"], []], "target_modules": [["key", "dense"]]},
    "bottleneck": {
        "placement": ["houlsby", "pfeiffer"],
        "mode": ["parallel", "sequential"],
        "reduction_factor": [1, 9],
    },
    "prefix": {"num_virtual_tokens": [1, 3, 100], "prefix_projection": [True, False]},
    "side": {"rank": [1, 4], "depth": [1, 2], "expansion": [1, 2]},
    "head_only": {},
    "full": {},
    "vera": {"r": [1, 4]},
    "vblora": {},  # but no boft: PEFT compiles it when it is first used
}
SCALES = [1e-30, 1e-5, 1e-2, 1, 1e5, 1e30, 1e300]
TRAIN = {
    "epochs": [1, 10**6],
    "batch_size": [1, 3, 64, 10**9],
    "accumulate": [1, 2, 10**6],
    "optimizer": ["adamw", "sgd", "adafactor"],
    "lr": SCALES,
    "head_lr": SCALES,
    "schedule": ["linear", "cosine", "constant", "cooldown"],
    "refit": [True],
    "warmup": [0, 0.5, 0.999],
    "weight_decay": [0, 1, 1e30],
    "dropout": [0, 0.9, 0.999999],
    "clip": [None, 1e-30, 1, 1e30],
    "mixed_precision": ["no", "bf16", "fp16"],
    "gradient_checkpointing": [True],
    "memory_mb": [1, 10**9],
    "locality": ["none", "user"],
    "early_stopping": [
        None,
        {},
        {"patience": 1},
        {"patience": 9, "metric": "interest.auc"},
        {"metric": "time.mae"},
        {"metric": "x.y"},
    ],
    "checkpoint": [{"every": "1 step", "keep": 1}, {"every": "0.001 minutes"}, {"every": "9" * 400 + " steps"}],
    "non_finite": ["stop", "skip"],
    "log_every": [1, 10**9],
    "seed": [0, 2**31, 2**32, 2**64, 10**400],
}
DATA = {
    "history": [0, 1, 1000],
    "split": [
        *(
            {"kind": kind, "test": test}
            for kind in ("global-time", "leave-last-out", "random", "stratified", "by-group", "by-text")
            for test in (0.001, 0.5)
        ),
        *({"kind": "global-time", "test": 0.2, "valid": 0}, {"kind": "given"}, {"kind": "by-group", "test": 0.999}),
        *({"kind": "by-group", "by": "item"}, {"kind": "random", "by": "item"}, "by-text", "stars"),
    ],
}
BACKBONE = {
    "pooling": ["mean", "cls", "last"],
    "dtype": ["fp32", "bf16", "fp16"],
    "cache_dtype": ["bf16", "fp16", "fp32"],
    "max_length": [4, 5, 16, 512, 10**9],
    "quantize": ["nf4", "int8"],
}
TASK = {
    "weight": [0, 1e-30, 1, 1e30],
    "share": [1e-9, 0.1, 1, 3],
    "loss": ["cross_entropy", "bce", "mse", "mae", "softmax"],
    "threshold": [-1, 3, 5, 1e300],
    "input": ["towers", "joint"],
    "column": ["stars", "time", "nothing"],
    "class_weight": ["balanced", {"1": 1e6}, {"0": 0, "1": 0}, {"1": -1}, {"x": 1}],
    "row_weight": ["stars", "nothing"],
    "gain": ["exponential", "linear"],
    "metrics": [["hr@5", "gini@3", "diversity@2"], ["auc", "ndcg@99999"], ["mae"], ["nobody:here"], ["ndcg@0"], []],
    "relevant": ["one", "all"],
    "slices": [["cold_items", "cold_users"], ["stars"]],
}
LAYERS = ["all", "top-1", "top-2", "top-99", [0], [0, 1], [10**9]]
SHARING = ["shared", "private", "shared+private"]
NAMES = ["query", "Ä", "a-b", "x" * 64, "class", "train", "weight", "forward", "0", "٣"]


def recipe_case(random: Random, world: World) -> Case:
    """A recipe that is trained for 3 steps, or only checked."""
    raw = drawn(random, world.recipe)
    change, text = "drawn", as_json(raw)  # JSON is YAML
    if (kind := random.randrange(8)) < 2:
        for _ in range(random.choice([1, 1, 3])):
            raw = changed(raw, random)
        change, text = "drawn, then changed", as_json(raw)
    elif kind == 2:
        change, text = "bytes", damaged((world.case / "recipe.yaml").read_bytes(), random)
    elif kind == 3:
        hostile = random.choice(
            [deep(), _bomb(), "!!python/object/apply:os.system [id]", "&a [*a]", "? [a]\n: b", "{a: &x {b: *x}}"]
        )
        key = random.choice(["backbone.name", "adapter.layers", "adapter.options.r", "tasks.query.column", "train.lr"])
        return Case(f"{key}: {hostile[:30]}", [["check", "recipe.yaml", f"{key}={hostile}"]])
    put(world.case / "recipe.yaml", text)
    train = ["train", "recipe.yaml", "--run", "new"] + ["train.max_steps=3"] * (random.random() < 0.5)
    if '"max_steps": 3' not in text.decode("utf-8", "replace"):
        train = ["check", "recipe.yaml"]  # it might train for ever, as asked
    commands = [["check", "recipe.yaml", "--json"]] if random.random() < 0.3 else [train]
    return Case(f"{change}: {text.decode('utf-8', 'replace')[:3000]}", commands, ["new"])


def drawn(random: Random, recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of valid values, some of them extreme: a few groups of `recipe` as they are, the others drawn."""
    tasks = {}
    for name, task in recipe["tasks"].items():
        if not tasks or random.random() < 0.5:
            given = _few(random, TASK, 0.15)
            if random.random() < 0.2:
                given["adapter"] = _adapter(random)
            tasks[random.choice(NAMES) if random.random() < 0.15 else name] = {**_set(task), **given}
    return {
        "backbone": {**_set(recipe["backbone"]), **_few(random, BACKBONE, 0.15)},
        "adapter": _adapter(random),
        "data": {**_set(recipe["data"]), **_few(random, DATA, 0.3)},
        "tasks": tasks,
        "train": {"batch_size": 32, **_few(random, TRAIN, 0.15), "max_steps": 3},
    }


def _adapter(random: Random) -> dict[str, Any]:
    method = random.choice(list(METHODS))
    made = {"method": method, "layers": random.choice(LAYERS), "sharing": random.choice(SHARING)}
    return {**made, "options": _few(random, METHODS[method], 0.4)}


def _few(random: Random, choices: dict[str, list], share: float) -> dict[str, Any]:
    return {key: random.choice(values) for key, values in choices.items() if random.random() < share}


def _set(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if value is not None}


def _bomb() -> str:
    """Under 1 KB that names ten to the ninth values."""
    levels = ["&a0 [x,x,x,x,x,x,x,x,x,x]", *(f"&a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]
    return f"[{', '.join(levels)}]"
