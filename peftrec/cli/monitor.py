"""`peftrec monitor`: texts with times in, surges of a label out."""

import re
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peftrec.cli.options import NoCache, Run, Task, TrustCode, at_least, refuse_figure
from peftrec.cli.printing import echo
from peftrec.errors import UserError, nearest, shown
from peftrec.machine.quiet import libraries_silenced

if TYPE_CHECKING:
    from peftrec.serving.monitor.texts import Text
    from peftrec.serving.monitor.webhook import Webhook
    from peftrec.serving.monitor.windows import Classify, Line, Windows
    from peftrec.serving.predictor import Predictor

SECONDS = {"m": 60, "h": 3600, "d": 86_400}
DAY = SECONDS["d"]
ALARMED = 3  # the exit status of --fail-on-alarm


def monitor(
    run: Run,
    task: Task,
    label: Annotated[str, typer.Option("--label", help="the class that is watched for surges")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="TASK", help="whose class is the topic; default: the input's `topic`")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option("--input", help="csv, jsonl, parquet: time, text, topic if any; default: JSON lines on stdin"),
    ] = None,
    window: Annotated[str, typer.Option("--window", help="its length, as 30m, 1h or 1d")] = "1h",
    baseline: Annotated[
        int, typer.Option("--baseline", callback=at_least(24), help="earlier windows that say what is usual")
    ] = 168,
    alarms: Annotated[
        float, typer.Option("--alarms-per-day", help="false alarms a day, on average at most, of all topics together")
    ] = 1.0,
    webhook: Annotated[str | None, typer.Option("--webhook", metavar="URL", help="each alarm is posted there")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.png", help="a figure of the last day")
    ] = None,
    fail: Annotated[bool, typer.Option("--fail-on-alarm", help="exit status 3 where there was an alarm")] = False,
    trust_code: TrustCode = False,
    no_cache: NoCache = False,
) -> None:
    """Watch texts for surges of a class: a JSON line for each topic and window, false alarms a day bounded."""
    span = _span(window)
    share = _share(alarms, span, window)
    with libraries_silenced():
        from peftrec.serving.monitor.surges import Surges
        from peftrec.serving.monitor.texts import read_texts, stream_texts
        from peftrec.serving.monitor.webhook import Webhook
        from peftrec.serving.monitor.windows import Windows
        from peftrec.serving.predictor import Predictor

        hook = None if webhook is None else Webhook(webhook)
        if figure is not None:
            refuse_figure(figure)
        given = None if texts is None else read_texts(texts)
        predictor = Predictor.load(run, cache=not no_cache, trust_code=trust_code)
        windows = Windows(span, label, Surges(share, baseline), _classifier(predictor, task, label, by))
        source = stream_texts(sys.stdin.buffer) if given is None else given
    day: deque[Line] = deque()
    alarmed = False
    try:
        for lines in windows.watch(source):
            alarmed |= _tell(lines, hook)
            day.extend(lines)
            while day[0].start <= lines[0].start - DAY:
                day.popleft()
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C and SIGTERM: what is over is shown, the open window is left
        _finish(windows, day, figure, span, f"texts of class {label} by {task}")
        raise
    _finish(windows, day, figure, span, f"texts of class {label} by {task}")
    if fail and alarmed:
        raise typer.Exit(ALARMED)


def _span(text: str) -> int:
    """Seconds of '30m', '1h' or '1d'. Raises UserError."""
    found = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text.strip())
    if found is None:
        raise UserError(f"--window must be a length such as 30m, 1h or 1d; found {shown(text)}")
    return int(found[1]) * SECONDS[found[2]]


def _share(alarms: float, span: int, window: str) -> float:
    """False alarms a window. Raises UserError where that is none, or an alarm in every other window."""
    share = alarms * span / DAY
    if not 0 < share <= 0.5:
        most = f"{0.5 * DAY / span:g}, one in every other window of {window}"
        raise UserError(f"--alarms-per-day must be above 0 and at most {most}; found {alarms:g}")
    return share


def _classifier(predictor: "Predictor", task: str, label: str, by: str | None) -> "Classify":
    """What says of texts the topic and the class. Raises UserError where a task or class is not as needed."""
    from peftrec.tasks.classification import CLASSIFICATION

    for option, name in (("--task", task), ("--by", by)):
        if name is None:
            continue
        if name not in predictor.tasks:
            raise UserError(f"{option}: no task {shown(name)} in this run; {nearest(name, predictor.tasks)}")
        if predictor.run.tasks[name].kind is not CLASSIFICATION:
            raise UserError(f"{option} must be a task of kind classification, one class a text; found {name}")
    classes = predictor.run.described[task]["classes"]
    if label not in classes:
        raise UserError(f"--label: no class {shown(label)} of {task}; {nearest(label, classes)}")

    def classify(texts: "list[Text]") -> list[tuple[str | None, str]]:
        rows = [{"text": text.text} for text in texts]
        labels = [of["label"] for of in predictor.predict(task, rows)]
        topics = [text.topic for text in texts] if by is None else [of["label"] for of in predictor.predict(by, rows)]
        return list(zip(topics, labels, strict=True))

    return classify


def _tell(lines: "list[Line]", hook: "Webhook | None") -> bool:
    """Print a window's lines and post its alarms; whether there was any."""
    from peftrec.machine.files import to_json

    for line in lines:
        echo(to_json(line.shown(), indent=None))
    alarms = [line.shown() for line in lines if line.verdict.alarm]
    for alarm in alarms:
        if hook is not None:
            hook.post(alarm)
    return bool(alarms)


def _finish(windows: "Windows", day: "deque[Line]", figure: Path | None, span: int, what: str) -> None:
    """Say what was left out, and write the figure."""
    from peftrec.machine.progress import note

    if windows.late:
        note(f"{windows.late:,} texts came when their window was over and are not counted: {windows.first_late} first")
    if figure is not None:
        from peftrec.machine.files import write_output
        from peftrec.serving.monitor.figure import draw

        write_output(figure, draw(list(day), span, what))
