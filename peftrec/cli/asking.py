"""`peftrec predict` and `peftrec recommend`: rows or options in, answers out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from peftrec.cli.options import Json, NoCache, Run, Task, TrustCode, at_least
from peftrec.cli.printing import echo, show
from peftrec.errors import RowError, UserError, shown
from peftrec.machine.jsonl import read_objects
from peftrec.machine.quiet import libraries_silenced


def predict(
    run: Run,
    task: Task,
    rows: Annotated[Path, typer.Option("--input", help="JSON lines, one row each")],
    output: Annotated[Path | None, typer.Option("--output", help="JSON lines; default: stdout")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="this process, or several by Ray Data")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", callback=at_least(1), help="with --engine ray: processes; default: 2")
    ] = None,
    trust_code: TrustCode = False,
    no_cache: NoCache = False,
) -> None:
    """Predict one task for every row of a JSON lines file, in order."""
    if workers is not None and engine == "local":
        raise UserError("predict: --workers is for --engine ray; without it one process predicts")
    given = read_objects(rows)
    with libraries_silenced():
        from peftrec.machine.files import refuse_output, to_json, write_output
        from peftrec.serving.predictor import Predictor

        if output is not None:
            refuse_output(output)
        if engine == "ray":
            from peftrec.serving.ray import predict as predict_by_ray

            ask = partial(predict_by_ray, run, task, list(given.values()), workers or 2, not no_cache, trust_code)
        else:
            predictor = Predictor.load(run, cache=not no_cache, trust_code=trust_code, keep=True)
            ask = partial(predictor.predict, task, list(given.values()))
        predicted = _answered(rows, [f"line {line}" for line in given], ask)
    lines = "".join(to_json(row, indent=None) + "\n" for row in predicted)
    if output is None:
        echo(lines, end="")
    else:
        write_output(output, lines)


def recommend(
    run: Run,
    task: Annotated[str | None, typer.Option("--task", help="the task's name in the recipe")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...", help="instead of --task: what tasks and numbers of the items count together"
        ),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="a user of the training data")] = None,
    history: Annotated[
        str | None, typer.Option("--history", metavar="ID,ID,...", help="item ids, oldest first; empty: a new user")
    ] = None,
    query: Annotated[str | None, typer.Option("--query", help="a query's text, for a match-query task")] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="many at once, each a user, history or query: csv, tsv or parquet by its ending, or JSON lines",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="with --input: .csv or .parquet, a row an item; or .jsonl, a line a row; default: stdout"
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", callback=at_least(1), help="how many items")] = 10,
    candidates: Annotated[
        str | None, typer.Option(metavar="ID,ID,...", help="the only items that may be named")
    ] = None,
    exclude: Annotated[str | None, typer.Option(metavar="ID,ID,...", help="items that are not named")] = None,
    where: Annotated[
        str | None, typer.Option(help="a filter on features of items, such as 'price < 20 and brand == \"x\"'")
    ] = None,
    include_seen: Annotated[
        bool | None,
        typer.Option("--include-seen/--leave-out-seen", help="items of the history; default: as the task was measured"),
    ] = None,
    diversity: Annotated[
        float | None, typer.Option(metavar="0..1", help="how much items shall differ, by maximal marginal relevance")
    ] = None,
    trust_code: TrustCode = False,
    no_cache: NoCache = False,
    as_json: Json = False,
) -> None:
    """The best items for a known user, for a history of items, for a query, or for each row of a file."""
    asked = {"user": user, "history": _ids(history), "query": query}
    _check_asked(task, weights, asked, rows, output)
    with libraries_silenced():
        from peftrec.cli.answers import check_output, flat, lines_of, read_rows_asked, write_answers
        from peftrec.serving.predictor import Predictor

        if output is not None:
            check_output(output)
        given, places = ([asked], []) if rows is None else read_rows_asked(rows)
        predictor = Predictor.load(run, cache=not no_cache, trust_code=trust_code)
        options: Any = {"candidates": _ids(candidates), "exclude": _ids(exclude), "where": where}
        options |= {"include_seen": include_seen, "diversity": diversity}
        if task is not None:
            ask = partial(predictor.recommend_all, task, given, k, **options)
        else:
            ask = partial(predictor.rank, _weights(weights or ""), given, k, **options)
        found = _answered(rows, places, ask)
        if output is not None:
            write_answers(output, given, found)
    if output is not None:
        return
    if rows is not None:
        echo(lines_of(given, found), end="")
    else:
        show(found[0] if as_json else [flat(row) for row in found[0]], as_json)


def _check_asked(
    task: str | None, weights: str | None, asked: dict[str, Any], rows: Path | None, output: Path | None
) -> None:
    """Raise UserError where options do not go together."""
    if (task is None) == (weights is None):
        raise UserError(f"recommend: give one of --task and --weights; found {'both' if task else 'none of them'}")
    given = [f"--{name}" for name, value in asked.items() if value is not None] + ["--input"] * (rows is not None)
    if not given or (len(given) > 1 and (rows is not None or {"--user", "--history"} <= set(given))):
        rule = "give --user or --history, --query, or --input, for a new user --history ''"
        raise UserError(f"recommend: {rule}; found {' and '.join(given) or 'none of them'}")
    if output is not None and rows is None:
        raise UserError("recommend: --output is for the rows of --input; without it stdout has the answer")


def _ids(text: str | None) -> list[str] | None:
    """'a, b' as ids; '' as none of them."""
    return None if text is None else [item.strip() for item in text.split(",") if text.strip()]


def _weights(text: str) -> dict[str, float]:
    """'a=1,b=0.5' by name. Raises UserError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not (name and equals and abs(value) < float("inf")):
            raise UserError(
                f"--weights are NAME=NUMBER,..., such as interest=1,price=-0.1; found {shown(part.strip())}"
            )
        if name in found:
            raise UserError(f"--weights name {shown(name)} twice")
        found[name] = value
    return found


def _answered(path: Path | None, places: list[str], ask: Callable[[], list[Any]]) -> list[Any]:
    """What is answered to the rows of a file; a mistake names where the row stands."""
    try:
        return ask()
    except RowError as error:
        if path is None:
            raise UserError(error.problem) from None
        raise UserError(f"{path}, {places[error.row - 1]}: {error.problem}") from None
