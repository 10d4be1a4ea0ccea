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
MILLION, KINDS, EVENTS = 1_000_000, 997, 40_000


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

    from peftrec.machine.memory import peak_memory_mb
    from peftrec.model.backbone import load_backbone
    from peftrec.model.cache.states import StateCache
    from peftrec.model.co_learner import build_model
    from peftrec.recipe import make_recipe
    from peftrec.recipe.shipped import load_recipe
    from peftrec.tasks.dataset import build_dataset
    from peftrec.tasks.kinds import resolve
    from peftrec.training.loop import make_streams
    from peftrec.training.optim import make_optimizer
    from peftrec.training.step import joint_backward

    raw = load_recipe("movielens-100k").model_dump()
    raw["backbone"] |= {"quantize": None, "dtype": "fp32"}
    raw["data"] |= {"history": 20, "split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    raw["train"] |= {"batch_size": BATCH, "early_stopping": None, "locality": locality}
    recipe = make_recipe(raw | {"tasks": {"interest": raw["tasks"]["interest"]}})
    tasks = resolve(recipe)
    dataset = build_dataset(grown(events, items), tasks, recipe.data, 0)
    model = build_model(recipe, tasks, load_backbone(recipe.backbone), dataset)
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

    from peftrec.machine.memory import peak_memory_mb
    from peftrec.model.backbone import locate
    from peftrec.recipe import make_recipe
    from peftrec.serving.predictor import Predictor
    from peftrec.training.loop import train

    random = np.random.default_rng(0)
    liked = random.integers(0, KINDS, (2000, 2))  # every user keeps to two kinds of thing

    def of_kinds(kinds: np.ndarray) -> np.ndarray:
        """One item a row, of one of its kinds (N, 2)."""
        of = kinds[np.arange(len(kinds)), random.integers(0, 2, len(kinds))]
        return of + KINDS * random.integers(0, MILLION // KINDS, len(kinds))

    def new_user() -> tuple[list[str], set[int]]:
        """A history of 20 things, and its two kinds."""
        kinds = random.integers(0, KINDS, (1, 2))
        return [str(i) for i in of_kinds(kinds.repeat(20, 0))], set(kinds[0].tolist())

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
            out.writelines(f"{n},thing {n % KINDS} of {n // KINDS}\n" for n in range(MILLION))
        with (folder / "events.csv").open("w") as out:
            out.write("user,item,time\n")
            users = random.integers(0, len(liked), EVENTS)
            items = of_kinds(liked[users])
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
                "train": {"epochs": 10, "batch_size": 1024, "early_stopping": None},
            }
        )
        run = train(recipe, folder / "run")
        started = time.perf_counter()
        predictor = Predictor.load(run)
        loaded = time.perf_counter() - started
        started = time.perf_counter()
        first = predictor.recommend("next", user="1", k=10)
        warmed = time.perf_counter() - started
        seconds, fitting = [], []
        for _ in range(asks):
            history, kinds = new_user()
            started = time.perf_counter()
            ten = predictor.recommend("next", history=history, k=10)
            seconds.append(time.perf_counter() - started)
            fitting.append(sum(int(row["item"]) % KINDS in kinds for row in ten) / len(ten))
        started = time.perf_counter()
        predictor.recommend("next", history=[], approximate=True)
        indexed, quick, found = time.perf_counter() - started, [], []
        for _ in range(asks):
            history, _ = new_user()
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
        "of_the_user_s_kinds": statistics.mean(fitting),
        "peak_memory_mb": peak_memory_mb(),
    }


def child(*what: object) -> dict[str, Any]:
    """Measure in a process of its own."""
    print("measuring", *what, file=sys.stderr)
    return measured(__file__, *map(str, what))


def page(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    env, asked, rows = result["environment"], result["recommend"], result["growth"]
    of = {size: row["microseconds_an_example"] for size, row in zip(SIZES, rows, strict=True)}
    base = of[1, 1, "none"]
    first, last = rows[SIZES.index((1, 1, "none"))], rows[SIZES.index((1, 100, "none"))]
    a_text = (last["microseconds_an_example"] - first["microseconds_an_example"]) / (
        last["unique_texts_an_example"] - first["unique_texts_an_example"]
    )
    lines = [
        "# What growth costs",
        "",
        f"`python benchmarks/growth.py` ({env['cpu']}, {env['cpu_cores']} cores; what is measured: see the script).",
        "Training steps of the side network, 16,384 examples each; processor time, one thread:",
        "",
        "| training events | items | a step's rows | unique texts an example | µs an example | against the first |"
        " memory of data MB | peak memory MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        lines.append(
            f"| {r['events']:,} | {r['items']:,} | {'whole users' if r['locality'] == 'user' else 'any'} |"
            f" {r['unique_texts_an_example']:.2f} | {r['microseconds_an_example']:.1f} |"
            f" {r['microseconds_an_example'] / base:.2f} | {r['data_mb']:,.0f} | {r['peak_memory_mb']:,.0f} |"
        )
    lines += [
        "",
        f"With 100 times the log an example takes {of[100, 1, 'none'] / base:.2f} times as long. With 100 times the"
        f" catalogue it takes {of[1, 100, 'none'] / base:.0f} times as long, since with the same log a batch then holds"
        f" so many more different texts, and the side network runs once for each: {a_text:.0f} µs a text. With"
        " `train.locality: user` the rows of a step are those of whole users, whose histories overlap:"
        f" {of[1, 100, 'user'] / base:.1f} times. It cannot be flat: an item of so large a catalogue is in half an"
        " event of this log, so nearly every example brings a text that no other has.",
        "",
        f"`recommend` by a `next-item` task out of {asked['items']:,} items, exactly: median"
        f" {asked['recommend_milliseconds']:.0f} ms (95th percentile {asked['recommend_milliseconds_95']:.0f} ms)"
        f" after loading ({asked['load_seconds']:.0f} s) and the first call ({asked['first_recommend_seconds']:.0f} s,"
        f" which computes the items' vectors); peak memory of the whole process, training included,"
        f" {asked['peak_memory_mb']:,.0f} MB. Approximately (faiss, indexed in {asked['index_seconds']:.0f} s): median"
        f" {asked['approximate_milliseconds']:.1f} ms, finding {asked['approximate_recall']:.0%} of the exact ten."
        f" Users keep to two of {KINDS} kinds of items, and the run has learnt some of it:"
        f" {asked['of_the_user_s_kinds']:.0%} of what it recommends are of the user's kinds; by chance it would be"
        f" {2 / KINDS:.1%}.",
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
        "times the events": ([sizes[n, 1, "none"] for n in (1, 10, 100)], "o-"),
        "times the items": ([sizes[1, n, "none"] for n in (1, 10, 100)], "s--"),
        "times the items, whole users a step": ([sizes[1, n, "user"] for n in (1, 10, 100)], "^:"),
    }
    for axes, key, label in zip(
        panels,
        ("microseconds_an_example", "peak_memory_mb"),
        ("µs of processor time an example", "peak memory of the process, MB"),
        strict=True,
    ):
        for name, (found, style) in lines.items():
            axes.plot([1, 10, 100], [r[key] for r in found], style, color="black", label=name)
        axes.set(xscale="log", ylim=0, xlabel="times MovieLens-100k", ylabel=label)
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
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
    from peftrec.machine.environment import environment

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
