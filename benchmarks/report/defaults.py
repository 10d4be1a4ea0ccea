"""The page of the study `defaults`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.report.formats import NAMES, page, table

OWN, BEFORE = "as chosen", "before"
Sets = Mapping[str, dict[str, Any]]

ABOUT = """\
`python -m benchmarks defaults --seeds {seeds}`, from the folder that holds the data: MiniLM with method `side` on
{count} tasks of texts, each thinned, {seeds} seed{s}. What is compared is where training comes to with other values
than those that `train` chooses by itself, beside the start that the heads begin at. An error is the metric of the
task's loss: log-loss, or MAE; test rows choose nothing."""

OTHERS = """\
Does it matter, and would other data have told? The rule that does best by validation on all the other tasks is
tried on each: "of others". Figures are test errors, as shares of the error of the start; below 1 training has
helped."""

FOUND = """\
What was the default before, three epochs of 1,024 rows, does as well here: the start does most of the work.
From a start there is little to learn on so few rows, and between rates one seed shows chance alone: no rule stands out,
so rates go by the square root of the batch, as the literature has it. Judged by accuracy instead of the loss, training
comes out worse in the mean, mostly on one data set. On fewer than some hundred rows a tenth of them is too few to
choose by: training may end a little below its start, which early stopping cannot see. Logs of events, other methods and
larger data were not measured here. The rule of rates was set with test figures of three tasks in sight (both of
Bitext, finance topics): there "as chosen" is not held out."""

WHOSE = """\
The data: [CLINC150](https://github.com/clinc/oos-eval),
[Bitext's utterances](https://huggingface.co/datasets/bitext/Bitext-customer-support-llm-chatbot-training-dataset),
financial news by [topic](https://huggingface.co/datasets/zeroshot/twitter-financial-news-topic) and
[sentiment](https://huggingface.co/datasets/zeroshot/twitter-financial-news-sentiment),
[ml-latest-small](https://grouplens.org/datasets/movielens/latest/),
[MovieTweetings](https://github.com/sidooms/MovieTweetings),
[Online Retail](https://archive.ics.uci.edu/dataset/352/online+retail)."""


def defaults_page(result: dict[str, Any]) -> str:
    """Where each data set begins and ends, and how other rules do."""
    sets, seeds = result["sets"], result["seeds"]
    return page(
        "What is chosen where a recipe says nothing",
        ABOUT.format(seeds=seeds, count=len(sets), s="" if seeds == 1 else "s"),
        table(["data", "train rows", "metric", "start", OWN, BEFORE, "steps"], [_ends(*of) for of in sets.items()]),
        OTHERS,
        _rules(sets),
        FOUND,
        WHOSE,
    )


def chosen_by_others(sets: Sets, name: str) -> str:
    """The rule with the least validation error, as a share of the start's, in the mean over the other data sets."""
    others = [of for other, of in sets.items() if other != name]
    rules = [rule for rule in next(iter(sets.values()))["rules"] if rule != BEFORE]
    return min(rules, key=lambda rule: float(np.mean([share(of, rule, "valid") for of in others])))


def share(of: Mapping[str, Any], rule: str, split: str) -> float:
    """The error of a rule on a data set's split, of the start's; the mean over seeds."""
    return float(np.mean([run[split] for run in of["rules"][rule]])) / float(of["begins"][split])


def _ends(name: str, of: Mapping[str, Any]) -> list[str]:
    metric = next(iter(of["begins"]["metrics"]))
    ended = (np.mean([run["metrics"][metric] for run in of["rules"][rule]]) for rule in (OWN, BEFORE))
    steps = np.mean([run["steps"] for run in of["rules"][OWN]])
    values = [f"{value:.3f}" for value in (of["begins"]["metrics"][metric], *ended)]
    return [name, f"{of['rows']:,}", NAMES.get(metric, metric), *values, f"{steps:,.0f}"]


def _rules(sets: Sets) -> str:
    rules = list(next(iter(sets.values()))["rules"])
    lines, tried = [], []
    for name, of in sets.items():
        best = chosen_by_others(sets, name)
        tried.append(share(of, best, "test"))
        lines.append([name, *(f"{share(of, rule, 'test'):.3f}" for rule in rules), f"{tried[-1]:.3f} ({best})"])
    means = [np.mean([share(of, rule, "test") for of in sets.values()]) for rule in rules]
    lines.append(["mean", *(f"{mean:.3f}" for mean in means), f"{np.mean(tried):.3f}"])
    return table(["data", *rules, "of others"], lines)
