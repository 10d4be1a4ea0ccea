"""Measures what peftrec's methods cost and buy, and writes it down: `python -m benchmarks VERB`, from the checkout."""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.ablation.arms import LOGS
from benchmarks.ablation.run import run_ablation
from benchmarks.card.run import finished, run_card
from benchmarks.card.sets import CHINESE, SETS
from benchmarks.fields.files import FIELDS
from benchmarks.fields.run import run_fields
from benchmarks.matrix.plan import read_experiments
from benchmarks.matrix.run import alone, run, tell_plan
from benchmarks.places import RESULTS
from benchmarks.recommending.logs import LOGS as RECOMMENDED
from benchmarks.recommending.run import run_recommending
from benchmarks.report.pages import write_pages
from benchmarks.studies import (
    asking,
    busy,
    curves,
    defaults,
    effects,
    estimates,
    frozen_part,
    growth,
    large,
    serving,
    speed,
)
from benchmarks.studies.pairs import PAIRS
from benchmarks.transfer import run as transfer
from peftrec.machine.files import write_json

# Verb -> what it measures, and the option that says how often, if any.
STUDIES: dict[str, tuple[Callable[..., Any], str | None]] = {
    "busy": (busy.measure, "repeats"),
    "speed": (speed.measure, "repeats"),
    "growth": (growth.measure, None),
    "large": (large.measure, None),
    "serving": (serving.measure, "rounds"),
    "effects": (effects.measure, "seeds"),
    "defaults": (defaults.measure, "seeds"),
}

# Verb -> what gives the lines that are printed, and written nowhere.
SAID: dict[str, Callable[[], Iterator[str]]] = {
    "asking": asking.measure,
    "estimates": estimates.measure,
    "frozen-part": frozen_part.measure,
}


def main() -> None:
    """Do what the verb says; all but those in SAID and `--plan` then write the pages anew."""
    given = parse()
    if given.verb in SAID:
        for line in SAID[given.verb]():
            print(line, flush=True)
        return
    if given.verb == "card":
        asked = given.only or [name for name, of in SETS.items() if of.held_out is given.held_out]
        with alone(given.out.resolve()):
            now = run_card(given.data, given.out.resolve(), asked, given.rows, given.keys, given.chinese)
        before, keyed = ({} if out is None else finished(out) for out in (given.before, given.keyed))
        write_json(RESULTS / "score-card.json", {"now": now, "before": before, "keyed": keyed})
    if given.verb == "fields":
        with alone(given.out.resolve()):
            write_json(RESULTS / "fields.json", run_fields(given.data, given.out.resolve(), given.only))
    if given.verb == "ablation":
        with alone(given.out.resolve()):
            found = run_ablation(given.data, given.out.resolve(), given.only, given.rows, given.seeds, given.keys)
        write_json(RESULTS / "ablation.json", found)
    if given.verb == "recommending":
        with alone(given.out.resolve()):
            found = run_recommending(given.data, given.out.resolve(), given.only, given.rows, given.seeds, given.keys)
        write_json(RESULTS / "recommending.json", found)
    if given.verb == "curves":
        with alone(given.out.resolve()):
            asked = (given.draws, given.sizes, given.only, given.methods, given.minutes)
            write_json(RESULTS / "curves.json", curves.measure(given.data, given.out.resolve(), *asked))
    if given.verb == "transfer":
        write_json(RESULTS / "transfer.json", transfer.measure(given.data, given.draws))
    if given.verb in ("quick", "full"):
        until, out = time.monotonic() + 60 * given.minutes, given.out.resolve()
        experiments = read_experiments(given.verb, given.only)
        tell_plan(experiments, out, given.verb, given.jobs)
        if given.plan:
            return
        with alone(out):
            run(experiments, out, given.verb, given.jobs, until)
    elif given.verb in STUDIES:
        measure, option = STUDIES[given.verb]
        times = () if option is None else (getattr(given, option),)
        write_json(RESULTS / f"{given.verb}.json", measure(*times))
    print("written: docs/results/", ", ".join(write_pages()), sep="")


def _reads_data(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--data", type=_folder, required=True, help="the folder that holds the data sets' folders")


def _folder(said: str) -> Path:
    if not Path(said).is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {said}")
    return Path(said)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for profile, what in {"quick": "the main cells, a quarter of an hour", "full": "every experiment, hours"}.items():
        runs = verbs.add_parser(profile, help=f"run what is missing of {what}; write results and pages")
        runs.add_argument("--only", nargs="+", metavar="NAME", help="these experiments")
        runs.add_argument("--jobs", type=int, default=2, help="processes at a time, which share the cores (default: 2)")
        runs.add_argument("--out", type=Path, default=Path("runs/bench"), help="where runs are kept")
        runs.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many minutes")
        runs.add_argument("--plan", action="store_true", help="say what would run and how long it takes, and stop")
    card = verbs.add_parser("card", help="every data set with a default recipe, beside scikit-learn on the same rows")
    _reads_data(card)
    card.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(SETS)}")
    card.add_argument("--held-out", action="store_true", help="by default those that no default was chosen by")
    card.add_argument("--out", type=Path, default=Path("runs/card"), help="where runs are kept; what is there stays")
    card.add_argument("--before", type=Path, help="another --out, of an older commit, to stand beside it")
    card.add_argument("--rows", type=int, default=20_000, help="of events at most, and a fifth as many texts")
    card.add_argument("--keys", nargs="+", default=[], metavar="KEY=VALUE", help="set in every recipe; default: none")
    card.add_argument("--keyed", type=Path, help="another --out, of some keys, to stand beside it")
    card.add_argument("--chinese", default=CHINESE, help="backbone for Chinese texts")
    fields = verbs.add_parser("fields", help="the shipped recipe of each field on real data, judged as the card judges")
    _reads_data(fields)
    fields.add_argument("--only", nargs="+", metavar="FIELD", help=f"of {', '.join(FIELDS)}")
    fields.add_argument(
        "--out", type=Path, default=Path("runs/fields"), help="where runs are kept; what is there stays"
    )
    parts = verbs.add_parser("ablation", help="what text, identity and features earn on logs, cold and warm")
    _reads_data(parts)
    parts.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(LOGS)}")
    parts.add_argument(
        "--out", type=Path, default=Path("runs/ablation"), help="where runs are kept; what is there stays"
    )
    parts.add_argument("--rows", type=int, default=20_000, help="of events at most")
    parts.add_argument("--seeds", type=int, default=3)
    parts.add_argument("--keys", nargs="+", default=[], metavar="KEY=VALUE", help="set in every recipe; default: none")
    beside = verbs.add_parser("recommending", help="next items and interest, beside well-known recommenders")
    _reads_data(beside)
    beside.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(RECOMMENDED)}")
    beside.add_argument("--out", type=Path, default=Path("runs/recommending"), help="where runs are kept")
    beside.add_argument("--rows", type=int, default=10_000, help="of events at most, but for interest")
    beside.add_argument("--seeds", type=int, default=3)
    beside.add_argument("--keys", nargs="+", default=[], metavar="KEY=VALUE", help="set in every recipe; default: none")
    few = verbs.add_parser("curves", help="few labelled rows alone, and beside a task of many: when co-learning pays")
    _reads_data(few)
    few.add_argument("--draws", type=int, default=5, help="of the few rows; the gains are paired by them")
    few.add_argument("--sizes", type=int, nargs="+", default=curves.SIZES, help="how many rows the target has")
    few.add_argument("--only", nargs="+", default=list(PAIRS), metavar="NAME", choices=PAIRS)
    few.add_argument("--methods", nargs="+", default=["side"], choices=curves.METHODS, help="default: side")
    few.add_argument("--out", type=Path, default=Path("runs/curves"), help="where draws are kept; what is there stays")
    few.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many minutes")
    moved = verbs.add_parser("transfer", help="from one language to another, and from one catalogue to another")
    _reads_data(moved)
    moved.add_argument(
        "--draws",
        type=int,
        default=3,
        choices=range(2, 100),
        metavar="N",
        help="of what is tested, and of few ratings; two or more",
    )
    verbs.add_parser("report", help="write the pages and figures from the results, and measure nothing")
    for name, (measure, option) in STUDIES.items():
        study = verbs.add_parser(name, help=measure.__doc__)
        if option:
            study.add_argument(f"--{option}", type=int, default=3)
    for name, said in SAID.items():
        verbs.add_parser(name, help=said.__doc__)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
