"""Trainings that torchrun starts on two processes, and what one process makes of the same."""

import json
import os
from pathlib import Path

import pytest
import torch
import warm
from safetensors.torch import load_file
from tiny import make_tiny_shop
from together import with_case

import peftrec.training.loop
from peftrec.runs.folder import verify_run
from peftrec.training.loop import train

WARM = ("--run-path", "--start-method", "fork", "--", warm.__file__)  # before the arguments of a warm Python


def plain_shop(folder):
    """The tiny shop in `folder`; its backbone has no dropout of its own, which method full would switch on."""
    make_tiny_shop(folder)
    config = folder / "model" / "config.json"
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | plain))
    return folder


def environment():
    """What torchrun's processes are to see; each computes with one thread."""
    here = os.pathsep.join([str(Path(peftrec.__file__).parents[1]), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}


def torchrun(*arguments, env=None):
    """What `torchrun ARGUMENTS` of two processes ended with: `returncode`, `stdout`, `stderr`."""
    command = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, *arguments)
    return warm.run(*command, env=environment() if env is None else env)


def train_together(shop, runs, cases, env):
    """`runs`, in which two processes have trained the cases."""
    done = torchrun(*WARM, Path(__file__).parent / "together.py", shop, runs, *cases, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    (runs / "stderr").write_text(done.stderr)
    return runs


def lines(run):
    """Those of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_one_trains(shop, two, tmp_path, case, without=None):
    """One process makes of a case what two have made, but for one file, of which they make none."""
    one = train(with_case(shop, case), tmp_path / "one")
    verify_run(two / case)
    mine, theirs = lines(one), lines(two / case)
    assert len(mine) == len(theirs) > 5
    for first, second in zip(mine, theirs, strict=True):
        assert first["step"] == second["step"]
        for task, loss in first["train_loss"].items():
            assert second["train_loss"][task] == (None if loss is None else pytest.approx(loss, abs=1e-5))
        for task, metrics in first.get("valid", {}).items():
            assert second["valid"][task] == pytest.approx(metrics, abs=1e-4)
    files = {file.relative_to(one) for file in one.rglob("*.safetensors")}
    given = {file.relative_to(two / case) for file in (two / case).rglob("*.safetensors")}
    assert files - given == (set() if without is None else {Path(without)}) and given <= files
    for file in map(one.joinpath, given):
        other = load_file(two / case / file.relative_to(one))
        for name, tensor in load_file(file).items():
            torch.testing.assert_close(other[name], tensor, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    first, second = (json.loads((run / "report.json").read_text()) for run in (one, two / case))
    assert (first["cost"]["processes"], second["cost"]["processes"]) == (1, 2)
    for task, of in first["tasks"].items():
        assert second["tasks"][task]["n"] == of["n"]
        assert second["tasks"][task]["metrics"] == pytest.approx(of["metrics"], abs=1e-4)


def ended(two, number):
    """How each case ended in a process."""
    return json.loads((two / f"ended-{number}.json").read_text())
