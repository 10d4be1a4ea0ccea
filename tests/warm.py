"""Python in a process of its own that starts warm: a server that has imported what most of them need forks it.

For tests of what a process does: the signals it obeys, others beside it, how it ends. A cold start costs five seconds
of imports, and is for tests of the start itself.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.util import Finalize
from pathlib import Path

PRELOADED = ["peftrec.training.loop", "peftrec.serving.predictor", "peftrec.serving.service.server"]
PRELOADED += ["peftrec.cli.verbs", "pytest"]
PRELOADED += ["transformers.models.bert.modeling_bert", "peft", "bitsandbytes", "datasets", "torch.distributed.run"]
PRELOADED += ["sklearn.linear_model", "sklearn.feature_extraction.text", "sklearn.model_selection"]


def process(function: Callable[..., object], *args: object, **options: object) -> ForkServerProcess:
    """A warm process that will call the function, in the environment that is here now. The first starts the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)  # which only its start looks at
    return context.Process(target=_call, args=(dict(os.environ), function, args, options))


class Started:
    """`python ARGUMENTS`, where these begin with a file or -m MODULE; `stdin`, `stdout` and `stderr` are pipes."""

    def __init__(self, *arguments: object, env: Mapping[str, str] | None = None, cwd: Path | str | None = None) -> None:
        self.arguments = [str(one) for one in arguments]
        pipes = [os.pipe() for _ in range(3)]
        theirs = [Connection(pipe[number > 0], readable=number == 0) for number, pipe in enumerate(pipes)]
        self.process = process(_become, self.arguments, theirs, None if env is None else dict(env), cwd or os.getcwd())
        self.process.start()
        for end in theirs:
            end.close()
        self.stdin = os.fdopen(pipes[0][1], "w")
        self.stdout, self.stderr = (os.fdopen(pipe[0]) for pipe in pipes[1:])

    def communicate(self, input: str = "") -> "subprocess.CompletedProcess[str]":
        """How it ended, and what it said."""
        if not self.stdin.closed:
            with self.stdin:
                self.stdin.write(input)
        with self.stdout, self.stderr, ThreadPoolExecutor(1) as beside:
            err = beside.submit(self.stderr.read)
            out = self.stdout.read()
        self.process.join()
        return subprocess.CompletedProcess(self.arguments, self.process.exitcode or 0, out, err.result())


def run(*arguments: object, input: str = "", **options: object) -> "subprocess.CompletedProcess[str]":
    """`python ARGUMENTS` from start to end; `options` as `Started` has them."""
    return Started(*arguments, **options).communicate(input)  # type: ignore[arg-type]


def _call(env: dict[str, str], function: Callable[..., object], args: tuple, options: dict[str, object]) -> None:
    gc.freeze()  # as in conftest.py: what the server has loaded stays
    os.environ.clear()
    os.environ.update(env)
    function(*args, **options)


def _become(arguments: list[str], streams: list[Connection], env: dict[str, str] | None, cwd: Path | str) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
    os.chdir(cwd)
    _run(arguments)


def _run(arguments: list[str]) -> None:
    import torch
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous

    Finalize(None, atexit._run_exitfuncs, exitpriority=0)  # a process that was forked skips them
    if threads := os.environ.get("OMP_NUM_THREADS"):  # which libgomp read when the server loaded it
        torch.set_num_threads(int(threads))
    # torchrun notes by whom it was called, looking through all modules for every frame: a second a start of a warm one.
    dynamic_rendezvous.get_method_name = lambda depth=2: ""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":  # in a process that another launcher forked
    _run(sys.argv[1:])
