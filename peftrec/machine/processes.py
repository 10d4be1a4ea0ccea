"""The processes of one training, which torchrun starts: which is the first, and what they tell each other.

Every process holds the whole model and makes the same steps, each on its share of the rows; the first one alone writes
files and speaks to the user. Started without torchrun a training is one process, and nothing here does anything.
"""

import atexit
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from peftrec.errors import Problems, UserError, UserErrors

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

PATIENCE = timedelta(hours=12)  # how long one may work (build a cache, evaluate) while the others wait for it
_BROKEN = ("connection", "closed", "reset", "broken pipe", "timed out")  # in gloo's and NCCL's errors
_TRUE = ("1", "true", "yes")
_FSDP = "ACCELERATE_USE_FSDP"  # Accelerate's launcher sets it
# What it sets for what the loop cannot work with -> what that is.
_REFUSED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor and context parallelism",
}


class ToldElsewhere(UserError):
    """A mistake that the first process tells the user; the others end in silence."""


class ProcessLost(RuntimeError):
    """Another process of the training ended while this one waited for it."""


def count() -> int:
    """How many processes the training has."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def local_count() -> int:
    """How many of them share this machine's memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or count())


def number() -> int:
    """Which one this is, from 0."""
    return int(os.environ.get("RANK") or 0) if count() > 1 else 0


def is_first() -> bool:
    """Whether this one writes the files and speaks to the user."""
    return number() == 0


def sharded() -> bool:
    """Whether Accelerate's launcher asks for FSDP, and there are processes to share the weights out to."""
    return count() > 1 and _is_set(_FSDP)


@contextmanager
def sharding_is_ours() -> Iterator[None]:
    """Accelerate and Transformers do not see inside the block that FSDP is asked for: `training.sharding` does it."""
    asked = os.environ.pop(_FSDP, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[_FSDP] = asked


def command() -> list[str]:
    """How peftrec was started here, up to the verb. Without the -- torchrun would take --run for its own option."""
    if count() == 1:
        return ["peftrec"]
    settings = ["env", f"{_FSDP}=true", "FSDP_VERSION=2"] if sharded() else []
    return [*settings, "torchrun", "--nproc_per_node", str(local_count()), "-m", "--", "peftrec"]


def notes() -> list[str]:
    """What the user should know about how many processes there are."""
    if count() > 1:
        held = "a share of every weight (FSDP)" if sharded() else "the whole model"
        return [f"{count()} processes, each with {held}, share the rows of every step"]
    if _is_set(_FSDP):
        return ["one process: FSDP has nothing to share out"]
    if _is_set("ACCELERATE_USE_CPU"):
        return [
            "one process: `accelerate launch` starts no more on a CPU, whatever its --num_processes says; two with "
            "torchrun --nproc_per_node 2 -m -- peftrec train ..."
        ]
    return []


def start() -> None:
    """Let the processes find each other. Raises UserError for launchers that the loop cannot work with."""
    for variable, what in _REFUSED.items():
        if _is_set(variable):
            with alike():
                raise UserError(
                    f"{what}: cannot train here: it runs a model whole, and the loop runs parts of it; start with "
                    "torchrun instead, and where memory is short take an adapter method, quantisation or "
                    "train.gradient_checkpointing; for method full FSDP, which shares out what DeepSpeed's ZeRO-3 does"
                )
    if count() > 1:
        import torch
        import torch.distributed as dist
        from accelerate import PartialState

        ours = not dist.is_initialized()
        # Accelerate must be told that there is no GPU: left to itself it counts each process as the only one.
        PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
        if ours:  # at exit: left to the interpreter, gloo's threads abort about every third process that ends well
            atexit.register(dist.destroy_process_group)


@contextmanager
def quick_end() -> Iterator[None]:
    """One of several processes ends once the block is done and all that asked for it (`atexit`) has taken leave.

    While the interpreter takes itself down, a thread of gloo's can still abort a process that has done its work.
    """
    if count() == 1:
        yield
        return
    status = 1

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    atexit.register(end)  # before all others, so that it comes last
    try:
        yield
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise


@contextmanager
def alike() -> Iterator[None]:
    """A mistake inside is every process's, and is told once."""
    try:
        yield
    except UserError as error:
        if is_first():
            raise
        raise ToldElsewhere(str(error)) from None


def on_first(function: Callable[[], T]) -> T:
    """What `function`, run in the first process alone, gives: plain values, returned in all.

    Its UserError is raised in all; whatever else ends it ends the others too.
    """
    if count() == 1:
        return function()
    if not is_first():
        outcome = json.loads(_tell(None, 0))
        if "value" not in outcome:
            raise ToldElsewhere(outcome["problem"])
        told: T = outcome["value"]
        return told
    try:
        value = function()
    except UserError as error:
        _tell(json.dumps({"problem": str(error)}), 0)
        raise
    except BaseException:  # a bug, a signal
        with suppress(ProcessLost):  # it may have ended the others too
            _tell(json.dumps({"problem": "the first process ended"}), 0)
        raise
    _tell(json.dumps({"value": value}), 0)
    return value


def on_each(function: Callable[[], T]) -> T:
    """What `function` gives in this process. When it raises UserErrors in any, all end with them, told once."""
    if count() == 1:
        return function()
    problems = Problems()
    with problems.collect():
        value = function()
    for process in range(count()):
        for problem in json.loads(_tell(json.dumps(problems.found), process)):
            if problem not in problems.found:
                problems.found.append(problem)
    if problems.found:
        raise UserErrors(problems.found) if is_first() else ToldElsewhere("\n".join(problems.found))
    return value


def add_up(values: "Tensor") -> "Tensor":
    """The sum of the processes' float tensors of one shape."""
    if count() == 1:
        return values
    import torch.distributed as dist

    with listening():
        total = values.to(_device(), copy=True)
        dist.all_reduce(total)
    return total.to(values.device)


def largest(value: int) -> int:
    """The largest of the processes' numbers."""
    if count() == 1:
        return value
    import torch
    import torch.distributed as dist

    with listening():
        found = torch.tensor([value], device=_device())
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def add_gradients(parameters: "list[nn.Parameter]") -> None:
    """Give every process the sum of the gradients. One that none has stays None: the optimiser leaves it alone; one
    that is sparse in any is sparse."""
    if count() == 1:
        return
    import torch

    size = len(parameters)
    have = [float(p.grad is not None) for p in parameters] + [float(_is_sparse(p)) for p in parameters]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in parameters]
    flat = add_up(torch.cat([torch.tensor(have).to(parts[0].device), *(part.float().flatten() for part in parts)]))
    counts, sums = flat[: 2 * size].tolist(), flat[2 * size :].split([p.numel() for p in parameters])
    for parameter, held, sparse, sum_ in zip(parameters, counts[:size], counts[size:], sums, strict=True):
        total = sum_.view_as(parameter).to(parameter.dtype)
        parameter.grad = None if not held else total.to_sparse(1) if sparse else total


def _is_sparse(parameter: "nn.Parameter") -> bool:
    return parameter.grad is not None and parameter.grad.is_sparse


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in _TRUE


def _tell(text: str | None, process: int) -> str:
    """`text` of one process, in all."""
    import torch
    import torch.distributed as dist

    own = (text or "").encode() if number() == process else b""
    with listening():
        size = torch.tensor([len(own)], device=_device())
        dist.broadcast(size, process)
        data = torch.zeros(int(size), dtype=torch.uint8, device=_device())
        if own:
            data.copy_(torch.frombuffer(bytearray(own), dtype=torch.uint8))
        dist.broadcast(data, process)
    return data.cpu().numpy().tobytes().decode()


def _device() -> Any:
    """Where tensors that processes exchange must lie."""
    from accelerate import PartialState

    return PartialState().device


@contextmanager
def listening() -> Iterator[None]:
    """Tell a connection that broke from a mistake of ours."""
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in _BROKEN):
            raise
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it now: this process is about to say why
        raise ProcessLost(
            "another process of this training has ended: its own message, or torchrun's, says why"
        ) from error
