"""Several processes by Ray: `build` serves runs with Ray Serve, `predict` scores many rows with Ray Data.

`serve run peftrec.serving.ray:build runs=runs/first max_replicas=4` is one way to start it.
"""

import importlib
import json
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from peftrec.errors import RowError, UserError, first_line, nearest, shown
from peftrec.machine.files import to_json
from peftrec.machine.progress import bar
from peftrec.tasks.rows import Row

ROWS = 1024  # that a worker scores at once
ANSWERS = 10.0  # seconds in which a cluster must have taken a connection: Ray itself asks again without end


class Args(BaseModel):
    """What `build` is given: as `peftrec serve` has it, and how many replicas there are. Texts are read as values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: list[Path] = Field(min_length=1, description="run folders over one backbone, or a text such as a,b")
    keys: Path | None = None
    feedback: Path | None = None
    mask: str | None = None
    cache: bool = True
    queue_rows: int = Field(8192, ge=1)
    max_rows: int = Field(1024, ge=1)
    max_body: int = Field(8 << 20, ge=1)
    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(2, ge=1)
    target: float = Field(16.0, gt=0, description="requests that wait or run in a replica, beyond which one is added")
    grace: float = Field(5.0, ge=0, description="seconds in which a replica that is to end answers what it has")
    cpus: float = Field(1.0, ge=0, description="cores that Ray reckons a replica to take")
    gpus: float = Field(0.0, ge=0, description="and GPUs")

    @field_validator("runs", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        one = isinstance(value, str | Path)
        return [part.strip() for part in str(value).split(",") if part.strip()] if one else value

    @field_validator("runs", "keys", "feedback")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        """Replicas have working directories of their own."""
        if isinstance(value, list):
            return [path.absolute() for path in value]
        return value and value.absolute()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Args":
        """Raises UserError naming key, rule and value found."""
        if unknown := [key for key in given if key not in cls.model_fields]:
            raise UserError(f"{unknown[0]}: no such argument; {nearest(unknown[0], list(cls.model_fields))}")
        if "runs" not in given:
            raise UserError("runs: name one run folder or more, as runs=DIR,DIR")
        try:
            args = cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(f"{first['loc'][0]}: {first['msg']}; found {shown(first['input'])}") from None
        if (least := args.min_replicas) > args.max_replicas:
            raise UserError(f"max_replicas must be at least min_replicas, {least}; found {args.max_replicas}")
        return args


def build(args: dict[str, Any]) -> Any:
    """The service as a Ray Serve application, `args` being those of `Args`: each replica loads every run.

    Folders and files are named as every machine of the cluster has them. Raises UserError.
    """
    given, serve = Args.read(args), _needed("ray.serve")
    _needed("limits")  # of the extra `serve`, on which `ray` stands
    from peftrec.serving.service.registry import check_runs

    check_runs(given.runs)
    scaled = {
        "min_replicas": given.min_replicas,
        "max_replicas": given.max_replicas,
        "target_ongoing_requests": given.target,
    }
    deployment = serve.deployment(
        name="peftrec",
        ray_actor_options={"num_cpus": given.cpus, "num_gpus": given.gpus},
        autoscaling_config=scaled,
        max_ongoing_requests=given.queue_rows,  # the service's own queue says what is too much, and batches the rest
        graceful_shutdown_timeout_s=given.grace,
    )
    return deployment(serve.ingress()(Replica)).bind(given)


class Replica:
    """One process that serves: it loads before it is sent requests, and is replaced once its engine has failed."""

    def __init__(self, args: Args) -> None:
        from peftrec.serving.service import log
        from peftrec.serving.service.keys import Keys
        from peftrec.serving.service.masking import masker
        from peftrec.serving.service.server import build_service, check_open, load_runs
        from peftrec.serving.service.state import Limits

        keys = Keys.given(args.keys, os.environ)
        check_open(_listens_on(), keys)
        limits, by = Limits(args.max_rows, args.max_body), masker(args.mask)
        self.service = build_service(None, keys, args.feedback, limits, args.queue_rows, args.cache, by)
        self._lines = log.lines_on_stderr(by)  # until the process ends
        self._lines.__enter__()
        load_runs(self.service, args.runs)

    def __serve_build_asgi_app__(self) -> Any:  # Ray Serve's name for it
        """The app of `peftrec serve`."""
        from peftrec.serving.service.app import make_app

        return make_app(self.service)

    def check_health(self) -> None:
        """Called by Ray Serve now and then. Raises RuntimeError where no request should be sent here."""
        if (why := self.service.unready) is not None:
            raise RuntimeError(why)


def _listens_on() -> str:
    """The address of the cluster's HTTP proxies."""
    from ray.serve.context import _get_global_client  # none that is public tells it

    client: Any = _get_global_client()
    return str(client.http_config.host)


def predict(
    run: Path, task: str, rows: list[Row], workers: int, cache: bool = True, trust_code: bool = False
) -> list[Row]:
    """As `Predictor.predict`, by `workers` processes, each of which loads the run, in the Ray cluster of the variable
    RAY_ADDRESS or one on this machine that ends with it.

    Raises UserError; of several rows that are wrong it names the first.
    """
    ray, data = _needed("ray"), _needed("ray.data")
    import pyarrow as pa

    size = max(1, min(ROWS, math.ceil(len(rows) / workers)))
    given = [to_json(row, indent=None) for row in rows]
    blocks = [
        pa.table({"row": range(first + 1, first + len(part) + 1), "json": part})
        for first in range(0, len(given), size)
        if (part := given[first : first + size])
    ]
    if not blocks:  # there is nothing to do, but whether the run has the task
        blocks = [pa.table({"row": [0], "json": [""]})]
    answers: dict[int, Row] = {}
    with _cluster(ray, workers), bar(len(rows), "predicting", "rows") as progress:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True  # so that the first mistake that is met is the first of all
        scored = data.from_arrow(blocks).map_batches(
            Scorer,
            fn_constructor_args=(run.absolute(), task, cache, trust_code),
            batch_size=None,
            batch_format="pyarrow",
            concurrency=workers,
            num_cpus=1,
            num_gpus=min(1.0, math.floor(1e4 * ray.cluster_resources().get("GPU", 0) / workers) / 1e4),
        )
        for block in scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for found in block.to_pylist():
                if problem := found["problem"]:
                    raise RowError(found["row"], problem) if found["row"] else UserError(problem)
                answers[found["row"]] = json.loads(found["json"])
            progress.update(len(block))
    return [answers[number] for number in range(1, len(rows) + 1)]


class Scorer:
    """A worker: rows as JSON in, predictions as JSON out, each with its number; or what is wrong, of the run as row 0.

    A mistake is no exception here: Ray would tell its own story around it, and try again.
    """

    def __init__(self, run: Path, task: str, cache: bool, trust_code: bool) -> None:
        from peftrec.machine.progress import without_bars
        from peftrec.serving.predictor import Predictor

        self.task, self.problem = task, ""
        try:
            with without_bars():
                self.predictor = Predictor.load(run, cache=cache, trust_code=trust_code, keep=True)
                self.predictor.predict(task, [])
        except UserError as error:
            self.problem = str(error)

    def __call__(self, block: Any) -> Any:
        """A table of `row` and `json` -> one of `row`, `json` and `problem`."""
        import pyarrow as pa

        numbers = block["row"].to_pylist()
        if self.problem:
            return pa.table({"row": [0], "json": [""], "problem": [self.problem]})
        rows = [json.loads(text) for number, text in zip(numbers, block["json"].to_pylist(), strict=True) if number]
        try:
            found = self.predictor.predict(self.task, rows)
        except RowError as error:
            return pa.table({"row": [numbers[error.row - 1]], "json": [""], "problem": [error.problem]})
        except UserError as error:
            return pa.table({"row": [0], "json": [""], "problem": [str(error)]})
        given = [to_json(row, indent=None) for row in found]
        return pa.table({"row": numbers[: len(given)], "json": given, "problem": [""] * len(given)})


@contextmanager
def _cluster(ray: Any, workers: int) -> Iterator[None]:
    """Inside the block Ray runs; what was started for it ends with it. Signals do what they did before."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    _check_there(address)
    own: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what its own parts tell each other is not for stderr
    try:
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
    except ConnectionError as error:
        raise UserError(f"RAY_ADDRESS={address}: {first_line(error)}") from None
    try:
        if in_main:
            signal.signal(signal.SIGTERM, handler)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    finally:
        ray.shutdown()


def _check_there(address: str | None) -> None:
    """Raise UserError where the address is that of a machine, and nothing takes a connection there."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if not colon:  # none, or a word of Ray's such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS).close()
    except (OSError, ValueError, OverflowError) as error:
        why = f"no answer in {ANSWERS:g} seconds" if isinstance(error, TimeoutError) else first_line(error)
        raise UserError(
            f"RAY_ADDRESS={shown(address)}: no Ray cluster can be reached there ({why}); start one by `ray start "
            "--head`, name its host:port, or leave the variable out to use this machine alone"
        ) from None


def _needed(name: str) -> Any:
    """A module of the extra. Raises UserError where it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"several processes by Ray need {error.name}: pip install 'peftrec[ray]'") from None
