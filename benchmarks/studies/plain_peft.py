"""What one writes today: a padded cross-encoder with plain PEFT, one LoRA a task, trained one task after another.

    python -m benchmarks.studies.plain_peft SPEC.json OUT

MovieLens-100k: `query [SEP] film` and `history [SEP] film`, padded to 128 tokens, LoRA on every layer of MiniLM, 32
rows a step. SPEC.json: {"options": {"steps", "rows"}}: steps a task, and how many test rows are scored, because every
row costs a pass through the backbone. The best prior is valued on the same rows.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.children import deliver
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.evaluation.intervals import bootstrap
from peftrec.evaluation.metrics import METRICS
from peftrec.machine.memory import peak_memory_mb
from peftrec.model.backbone import locate
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.priors import PRIORS

FOLDER, _ = locate("sentence-transformers/all-MiniLM-L6-v2")
TOKENIZER = AutoTokenizer.from_pretrained(FOLDER)
BATCH = 32
TASKS = {"query": ("auc", "lexical"), "interest": ("auc", "rates_so_far"), "time": ("mae", "user_median")}


def tokens(data: Dataset, rows: Examples) -> dict[str, torch.Tensor]:
    """Both sides as one padded pair a row."""
    texts = data.texts.texts
    if "query" in rows.slots:
        left = [texts[row] for row in rows.slots["query"]]
    else:
        left = ["; ".join(texts[row] for row in past[past >= 0][-20:]) for past in rows.history().rows]
    right = [texts[row] for row in rows.slots["item"]]
    return dict(TOKENIZER(left, right, padding="max_length", max_length=128, truncation=True, return_tensors="pt"))


def learn(data: Dataset, task: str, steps: int, count: int) -> dict[str, Any]:
    """Train one task's adapter, then score `count` test rows, drawn once."""
    metric, prior = TASKS[task]
    train, classes = data.tasks[task].train, 2 if task == "query" else 1
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(FOLDER, num_labels=classes)
    targets = ["query", "key", "value", "dense"]
    model = get_peft_model(model, LoraConfig(r=8, target_modules=targets, task_type="SEQ_CLS"))
    if task == "time":
        head = model.get_submodule("base_model.model.classifier.modules_to_save.default")
        assert isinstance(head, torch.nn.Linear)
        torch.nn.init.constant_(head.bias, train.label.mean())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    order, drawn = np.random.default_rng(0), np.arange(0)
    model.train()
    started = time.process_time()
    for _ in range(steps):
        if len(drawn) < BATCH:
            drawn = order.permutation(len(train))
        rows, drawn = train.take(drawn[:BATCH]), drawn[BATCH:]
        logits, label = model(**tokens(data, rows)).logits, torch.from_numpy(rows.label)
        if task == "query":
            loss = functional.cross_entropy(logits, label)
        elif task == "interest":
            loss = functional.binary_cross_entropy_with_logits(logits[:, 0], label)
        else:
            loss = functional.l1_loss(logits[:, 0], label)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.process_time() - started
    model.eval()
    chosen = data.tasks[task].test
    chosen = chosen.take(np.sort(np.random.default_rng(0).choice(len(chosen), count, replace=False)))
    found = []
    with torch.inference_mode():
        for first in range(0, count, BATCH):
            logits = model(**tokens(data, chosen.take(np.arange(first, min(first + BATCH, count))))).logits
            found.append((logits.softmax(-1) if task == "query" else logits[:, 0]).numpy())
    prediction = np.concatenate(found)
    if task == "interest":
        prediction = 1 / (1 + np.exp(-prediction))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        size = sum(f.stat().st_size for f in Path(folder).iterdir())
    measure, trivial = METRICS[metric], PRIORS[prior](data, task, chosen)
    return {
        "metric": metric,
        "value": measure(prediction, chosen.label, chosen.group),
        "interval": list(bootstrap(measure, prediction, chosen.label, chosen.group)),
        "prior": prior,
        "prior_value": measure(trivial, chosen.label, chosen.group),
        "rows": count,
        "trained_rows": steps * BATCH,
        "cpu_seconds": seconds,
        "examples_per_cpu_second": steps * BATCH / seconds,
        "cpu_seconds_per_step": seconds / steps,
        "adapter_bytes": size,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def measure(steps: int, rows: int) -> dict[str, Any]:
    """Learn the tasks in turn."""
    data = load_data(load_recipe("movielens-100k", ["data.history=20"]))
    tasks = {task: learn(data, task, steps, rows) for task in TASKS}
    return {"tasks": tasks, "peak_memory_mb": peak_memory_mb()}


if __name__ == "__main__":
    deliver(lambda spec, folder: measure(spec["options"]["steps"], spec["options"]["rows"]))
