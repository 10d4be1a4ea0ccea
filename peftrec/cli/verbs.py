"""The command line: verbs, each calling one function.

Results go to stdout, progress and errors to stderr. Exit status 0: done; 1: failed; 2: the user's input is wrong;
3: `monitor --fail-on-alarm` found one.
Whatever needs torch is imported inside its verb, so that help, `recipes` and mistakes answer at once.
"""

import shlex
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from peftrec.cli import affinity, asking, cache, monitor, recipes, serve
from peftrec.cli.exits import Verbs
from peftrec.cli.options import Json, NoCache, Overrides, RecipeName, Run, Task, TrustCode, at_least
from peftrec.cli.printing import echo, print_json, print_rich, show_checked, show_report, show_study
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.machine.quiet import libraries_silenced
from peftrec.machine.signals import SIGNALS, stop
from peftrec.recipe.shipped import find_recipe, load_recipe

app = typer.Typer(
    cls=Verbs, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)
app.add_typer(recipes.app, name="recipes")
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Entry point of the `peftrec` command."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell's background jobs have it
            signal.signal(number, stop)
    with processes.quick_end():
        app()


def _show_version(wanted: bool) -> None:
    if wanted:
        echo(f"peftrec {version('peftrec')}")
        raise typer.Exit


@app.callback()
def _peftrec(
    ctx: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Several recommendation signals, co-learned on one frozen, quantised language model."""
    if processes.count() > 1 and ctx.invoked_subcommand != "train":
        with processes.alike():
            raise UserError(f"{ctx.invoked_subcommand}: one process does it, only train shares its work: no torchrun")


@app.command()
def check(recipe: RecipeName, overrides: Overrides = None, as_json: Json = False) -> None:
    """Preflight: every problem at once, recipe and data first; or tables, tasks, caches, parameters, memory, time."""
    try:
        with libraries_silenced():
            from peftrec.cli.checked import checked

            result = checked(find_recipe(recipe), overrides)
    except UserError as error:
        if as_json:
            print_json({"problems": error.problems})
        raise
    show_checked(result, as_json)


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="the new run folder; default: runs/<recipe>-<number>")
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(
            metavar="'N steps'|'M minutes'", help="short for train.checkpoint.every=..., by default 10 minutes"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="continue the interrupted training of --run, or the recipe's last one")
    ] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="resume although recipe, data, weights or packages changed")
    ] = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """Train a recipe, and leave a run folder."""
    changes = list(overrides or [])
    if checkpoint_every is not None:
        changes.append(f"train.checkpoint.every={checkpoint_every}")
    with processes.alike(), libraries_silenced():
        loaded = load_recipe(recipe, changes)
        from peftrec.data.load import Ahead
        from peftrec.machine.files import refuse_existing

        if run is not None and not resume:
            refuse_existing(run)
        ahead = Ahead(loaded.data)
    with libraries_silenced():
        from peftrec.runs.checkpoints import checkpoint_folders
        from peftrec.runs.folder import read_report
        from peftrec.training.loop import train as train_recipe

        processes.start()
        # In the first process alone: looking for what was left takes its lock.
        target = run or Path(processes.on_first(lambda: str(_choose_run(find_recipe(recipe).stem, resume))))
        before = checkpoint_folders(target)
        try:
            train_recipe(loaded, target, cache=not no_cache, resume=resume, allow_changes=allow_changes, ahead=ahead)
        except BaseException as error:
            if checkpoint_folders(target) != before:
                command = [*processes.command(), "train", recipe, *changes, "--run", str(target), "--resume"]
                if no_cache:
                    command.append("--no-cache")
                error.add_note(f"continue with: {shlex.join(command)}")
            raise
        if not processes.is_first():
            return
        report = read_report(target)
    show_report({"run": str(target), **report}, as_json)


def _choose_run(name: str, resume: bool) -> Path:
    """The run that `train` makes without --run; says so where it is another than the one that was interrupted."""
    from peftrec.machine.progress import note
    from peftrec.runs.folder import choose_run, left_behind

    target = choose_run(name, resume)
    if not resume and (left := left_behind(name)) is not None:
        said = f"--run {left} --resume continues it, this is another: {target}"
        note(f"{left}: its training was interrupted; {said}")
    return target


@app.command()
def tune(
    recipe: RecipeName,
    overrides: Overrides = None,
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUES", help="'train.lr=1e-4..1e-2 log', '..=16..64 step 16' or '..=[A, B]'"),
    ] = None,
    trials: Annotated[int, typer.Option(callback=at_least(1), help="how many the study shall have in all")] = 20,
    metric: Annotated[
        str | None, typer.Option(metavar="TASK.METRIC", help="on validation rows; default: as early stopping does")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="the study's folder; default: studies/<recipe>")] = None,
    seed: Annotated[int, typer.Option(callback=at_least(0), help="of the search; training keeps train.seed")] = 0,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """Search recipe keys for better values; the same command goes on later, or in several processes at once."""
    loaded, name = load_recipe(recipe, overrides), find_recipe(recipe).stem
    folder = study or Path("studies") / name
    with libraries_silenced():
        from peftrec.training.tune import tune as tune_recipe

        result = tune_recipe(loaded, search or [], folder, name, trials, metric, seed, cache=not no_cache)
    show_study(result, as_json)


app.command()(affinity.affinity)


@app.command()
def evaluate(
    run: Run,
    split: Annotated[Literal["train", "valid", "test"], typer.Option("--split")] = "test",
    trust_code: TrustCode = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """Measure a run's tasks again, beside their priors."""
    with libraries_silenced():
        from peftrec.runs.evaluate import evaluate_run

        report = evaluate_run(run, split, cache=not no_cache, trust_code=trust_code)
    show_report(report, as_json)


app.command()(asking.predict)
app.command()(asking.recommend)
app.command()(monitor.monitor)
app.command()(serve.serve)


@app.command()
def verify(
    run: Run,
    expect: Annotated[str | None, typer.Option("--expect", metavar="DIGEST", help="the digest it must have")] = None,
    as_json: Json = False,
) -> None:
    """Hold every file of a run against its manifest, and print the run's digest."""
    from peftrec.runs.folder import describe_run

    described = describe_run(run, expect)
    if as_json:
        print_json(described)
    else:
        echo(described["digest"])


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="run folders, the first being what the others are held against"),
    ],
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Runs side by side: quality, memory, time, bytes; and whether each differs from the first one."""
    from peftrec.runs.compare import compare_runs

    result = compare_runs(runs, trust_code=trust_code)
    if as_json:
        print_json(result)
        return
    from peftrec.cli.tables import format_comparison

    print_rich(format_comparison(result))


@app.command()
def report(
    run: Run,
    output: Annotated[
        Path | None, typer.Option("--output", help="the file; default: <run>.html beside the run")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Write a run as one HTML file: results beside priors, curves, costs, recipe."""
    from peftrec.runs.report import write_report

    echo(write_report(run, output, trust_code))


@app.command()
def export(
    run: Run,
    task: Task,
    kind: Annotated[
        Literal["peft", "vectors"],
        typer.Option("--format", help="the adapter as plain PEFT loads it; or items and users for a vector store"),
    ] = "peft",
    output: Annotated[
        Path | None, typer.Option("--output", help="the new folder; default: <run>-<task> here, <run>-<task>-vectors")
    ] = None,
    trust_code: TrustCode = False,
    no_cache: NoCache = False,
) -> None:
    """Take one task out of a run: its adapter, complete, or the vectors whose dot product ranks its catalogue."""
    name = f"{run.resolve().name}-{task}"
    if kind == "peft":
        from peftrec.runs.folder import export_adapter

        echo(export_adapter(run, task, output or Path(name)))
        return
    with libraries_silenced():
        from peftrec.serving.vectors import export_vectors

        done = export_vectors(run, task, output or Path(f"{name}-vectors"), not no_cache, trust_code)
    echo(done)


@app.command()
def methods(
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="this one instead of every family, and all of PEFT's methods")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="the table as Markdown, as in the documents")] = False,
    as_json: Json = False,
) -> None:
    """Which method works on which kind of backbone and quantisation, probed here and now."""
    with libraries_silenced():
        from peftrec.cli.tables import format_matrix, matrix_markdown
        from peftrec.model.probe import method_matrix

        matrix = method_matrix(backbone)
    if as_json:
        print_json(matrix)
    elif markdown:
        echo(matrix_markdown(matrix), end="")
    else:
        print_rich(format_matrix(matrix))
