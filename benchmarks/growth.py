"""What a larger log and a larger catalogue cost: time an example, memory, and a recommendation out of a million items.

    python benchmarks/growth.py

Growth: a side network on the interest task over MiniLM in fp32, batches of 16,384, 20 films of history; events are
drawn anew from MovieLens-100k's users and films. The catalogue grows by copies of its films; their states are random
numbers in place of MiniLM's, which would cost their encoding once and change nothing after it. Recommendation: a
next-item run over 1,000,000 items with a small random BERT, made, saved, loaded and asked. Every measurement is a
process of its own. Writes benchmarks/results/growth.json, GROWTH.md and growth.png.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from children import measured

HERE = Path(__file__).parent
BATCH = 16_384
# Times the events, times the items, and which rows share a batch (train.locality).
SIZES = [
    (1, 1, "none"),
    (10, 1, "none"),
    (100, 1, "none"),
    (1, 10, "none"),
    (1, 100, "none"),
    (1, 1, "user"),
    (1, 10, "user"),
    (1, 100, "user"),
]
MILLION = 1_000_000


def grown(events: int, items: int) -> Any:
    """MovieLens-100k's tables with so many times the events, drawn anew, and so many copies of every film."""
    from peftrec.data.sources.movielens import load
    from peftrec.data.tables import Events, Items, Tables

    real = load(None)
    assert real.events is not None and real.items is not None
    random = np.random.default_rng(0)
    picked = np.sort(random.integers(0, len(real.events), len(real.events) * events))  # by user, as they were
    copy = random.integers(0, items, len(picked))
    users = len(real.events.user_ids) * events
    # As many more users, so that a history is as long as it was: the copies of a user follow each other.
    user = real.events.user[picked].astype(np.int64) * events + random.integers(0, events, len(picked))
    order = np.lexsort((time_of := real.events.time[picked] + random.random(len(picked)), user))
    return Tables(
        items=Items(
            [f"{name}-{n}" for n in range(items) for name in real.items.ids],
            [f"{text} {n}" if n else text for n in range(items) for text in real.items.texts],
        ),
        events=Events(
            user[order].astype(np.int32),
            (real.events.item[picked] + copy * len(real.items)).astype(np.int32)[order],
            time_of[order],
            {"rating": real.events.columns["rating"][picked][order]},
            [str(n) for n in range(users)],
        ),
    )


def growth(events: int, items: int, locality: str, steps: int = 4) -> dict[str, Any]:
    """Processor time an example of training steps in one thread, which neighbours hardly disturb, and peak memory."""
    import torch
    from accelerate import Accelerator

    from peftrec.backbone import load_backbone
    from peftrec.cache.states import StateCache
    from peftrec.data.builders import build_dataset
    from peftrec.environment import peak_memory_mb
    from peftrec.model import build_model
    from peftrec.optim import make_optimizer
    from peftrec.recipe import make_recipe
    from peftrec.shipped import load_recipe
    from peftrec.step import joint_backward
    from peftrec.tasks import find_kind
    from peftrec.training import make_streams

    raw = load_recipe("movielens-100k").model_dump()
    raw["backbone"] |= {"quantize": None, "dtype": "fp32"}
    raw["data"] |= {"history": 20, "split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    raw["train"] |= {"batch_size": BATCH, "early_stopping": None, "locality": locality}
    recipe = make_recipe(raw | {"tasks": {"interest": raw["tasks"]["interest"]}})
    builders = {"interest": find_kind("interest").build}
    dataset = build_dataset(grown(events, items), recipe.tasks, builders, recipe.data, 0)
    model = build_model(recipe, load_backbone(recipe.backbone), dataset)
    if items > 1:
        generator = torch.Generator().manual_seed(0)
        StateCache.compute = (
            lambda self, rows: torch.randn(  # type: ignore[method-assign]
                len(rows), *self._unit.shape[1:], generator=generator, dtype=self._unit.dtype
            )
        )
    model.encoder.update()
    optimizer = make_optimizer(recipe.train, model.trainable())
    tasks = {"interest": dataset.tasks["interest"].train}
    streams, _, _ = make_streams(recipe, dataset)
    torch.set_num_threads(1)
    before, seconds, accelerator = peak_memory_mb(), [], Accelerator()
    model.train()
    for step in range(steps + 1):
        started = time.process_time()
        joint_backward(model, tasks, {"interest": streams["interest"].step(step)}, lambda _: torch.ones(1), accelerator)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append((time.process_time() - started) / BATCH)
    return {
        "locality": locality,
        "events": len(dataset.tasks["interest"].train),
        "items": len(dataset.item_rows),
        "unique_texts_an_example": model.work.encoded / ((steps + 1) * BATCH),
        "microseconds_an_example": 1e6 * statistics.median(seconds[1:]),
        "data_mb": before,
        "peak_memory_mb": peak_memory_mb(),
    }


def recommend(asks: int = 50) -> dict[str, Any]:
    """A next-item run over a million items: milliseconds of `recommend` after loading, and memory."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    from peftrec.backbone import locate
    from peftrec.environment import peak_memory_mb
    from peftrec.predictor import Predictor
    from peftrec.recipe import make_recipe
    from peftrec.training import train

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer = AutoTokenizer.from_pretrained(locate("sentence-transformers/all-MiniLM-L6-v2")[0])
        small = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
        BertModel(small).save_pretrained(folder / "bert")
        tokenizer.save_pretrained(folder / "bert")
        with (folder / "items.csv").open("w") as out:
            out.write("id,text\n")
            out.writelines(f"{n},thing {n % 997} of {n // 997}\n" for n in range(MILLION))
        with (folder / "events.csv").open("w") as out:
            out.write("user,item,time\n")
            items, users = random.integers(0, MILLION, 1000), random.integers(0, 50, 1000)
            out.writelines(f"{u},{i},{t}\n" for t, (u, i) in enumerate(zip(users, items, strict=True), 1_600_000_000))
        recipe = make_recipe(
            {
                "backbone": {"name": str(folder / "bert"), "max_length": 12},
                "adapter": {"method": "side", "sharing": "shared"},
                "data": {
                    "items": {"path": str(folder / "items.csv"), "id": "id", "text": "{text}"},
                    "events": {"path": str(folder / "events.csv"), "user": "user", "item": "item", "time": "time"},
                    "split": {"kind": "global-time", "test": 0.02, "valid": 0},
                },
                "tasks": {"next": {"kind": "next-item"}},
                "train": {"epochs": 1, "max_steps": 2, "batch_size": 256},
            }
        )
        run = train(recipe, folder / "run")
        started = time.perf_counter()
        predictor = Predictor.load(run)
        loaded = time.perf_counter() - started
        started = time.perf_counter()
        first = predictor.recommend("next", user="1", k=10)
        warmed = time.perf_counter() - started
        seconds = []
        for _ in range(asks):
            history = [str(i) for i in random.integers(0, MILLION, 20)]
            started = time.perf_counter()
            predictor.recommend("next", history=history, k=10)
            seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        predictor.recommend("next", history=[], approximate=True)
        indexed, quick, found = time.perf_counter() - started, [], []
        for _ in range(asks):
            history = [str(i) for i in random.integers(0, MILLION, 20)]
            exact = {row["item"] for row in predictor.recommend("next", history=history, k=10)}
            started = time.perf_counter()
            near = predictor.recommend("next", history=history, k=10, approximate=True)
            quick.append(time.perf_counter() - started)
            found.append(len(exact & {row["item"] for row in near}) / 10)
        again = predictor.predict("next", [{"user": "1", "item": row["item"]} for row in first])
        assert np.allclose([row["score"] for row in first], [row["score"] for row in again], atol=1e-3)
    return {
        "items": MILLION,
        "load_seconds": loaded,
        "first_recommend_seconds": warmed,
        "recommend_milliseconds": 1e3 * statistics.median(seconds),
        "recommend_milliseconds_95": 1e3 * float(np.quantile(seconds, 0.95)),
        "index_seconds": indexed,
        "approximate_milliseconds": 1e3 * statistics.median(quick),
        "approximate_recall": statistics.mean(found),
        "peak_memory_mb": peak_memory_mb(),
    }


def child(*what: object) -> dict[str, Any]:
    """Measure in a process of its own."""
    print("measuring", *what, file=sys.stderr)
    return measured(__file__, *map(str, what))


def page(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    env, base, asked = result["environment"], result["growth"][0], result["recommend"]

    def per(row: int) -> float:
        return float(result["growth"][row]["microseconds_an_example"] / base["microseconds_an_example"])

    first, last = result["growth"][0], result["growth"][-1]
    a_text = (last["microseconds_an_example"] - first["microseconds_an_example"]) / (
        last["unique_texts_an_example"] - first["unique_texts_an_example"]
    )
    lines = [
        "# What growth costs",
        "",
        f"`python benchmarks/growth.py` ({env['cpu']}, {env['cpu_cores']} cores; what is measured: see the script).",
        "Training steps of the side network, 16,384 examples each; processor time, one thread:",
        "",
        "| training events | items | unique texts an example | µs an example | against the first | memory of data MB |"
        " peak memory MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, r in enumerate(result["growth"]):
        lines.append(
            f"| {r['events']:,} | {r['items']:,} | {r['unique_texts_an_example']:.2f} |"
            f" {r['microseconds_an_example']:.1f} | {per(number):.2f} | {r['data_mb']:,.0f} |"
            f" {r['peak_memory_mb']:,.0f} |"
        )
    lines += [
        "",
        f"With 100 times the log an example takes {per(2):.2f} times as long. With 100 times the catalogue it takes"
        f" {per(4):.0f} times as long, since with the same log a batch then holds so many more different texts, and the"
        f" side network runs once for each: {a_text:.0f} µs a text.",
        "",
        f"`recommend` by a `next-item` task out of {asked['items']:,} items, exactly: median"
        f" {asked['recommend_milliseconds']:.0f} ms (95th percentile {asked['recommend_milliseconds_95']:.0f} ms)"
        f" after loading ({asked['load_seconds']:.0f} s) and the first call ({asked['first_recommend_seconds']:.0f} s,"
        f" which computes the items' vectors); peak memory of the whole process, training included,"
        f" {asked['peak_memory_mb']:,.0f} MB. Approximately (faiss, indexed in {asked['index_seconds']:.0f} s): median"
        f" {asked['approximate_milliseconds']:.1f} ms, finding {asked['approximate_recall']:.0%} of the exact ten;"
        " the run is hardly trained, and a trained one may be harder to search.",
        "",
        "![growth](growth.png)",
        "",
    ]
    return "\n".join(lines)


def draw(result: dict[str, Any], file: Path) -> None:
    """Time an example and peak memory over the size of log and catalogue."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    sizes = dict(zip(SIZES, result["growth"], strict=True))
    lines = {
        "events": ([sizes[n, 1] for n in (1, 10, 100)], "o-"),
        "items": ([sizes[1, n] for n in (1, 10, 100)], "s--"),
    }
    for axes, key, label in zip(
        panels,
        ("microseconds_an_example", "peak_memory_mb"),
        ("µs of processor time an example", "peak memory of the process, MB"),
        strict=True,
    ):
        for name, (found, style) in lines.items():
            axes.plot([1, 10, 100], [r[key] for r in found], style, color="black", label=f"times the {name}")
        axes.set(xscale="log", ylim=0, xlabel="times MovieLens-100k", ylabel=label)
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(file, dpi=150)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        what, *sizes = given.child
        found = recommend() if what == "recommend" else growth(int(sizes[0]), int(sizes[1]), sizes[2])
        print(json.dumps(found))
        return
    from peftrec.environment import environment

    result = {
        "growth": [child("growth", *size) for size in SIZES],
        "recommend": child("recommend"),
        "environment": environment(),
    }
    (HERE / "results" / "growth.json").write_text(json.dumps(result, indent=2) + "\n")
    draw(result, HERE / "growth.png")
    (HERE / "GROWTH.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
