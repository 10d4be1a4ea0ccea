"""The only reader and writer of run folders and of a training's checkpoints. Tensors are safetensors; no pickle."""

from peftrec.checkpoint.files import (
    find_damage,
    read_json,
    refuse_output,
    to_json,
    write_json,
    write_output,
    write_text,
)
from peftrec.checkpoint.run import (
    digest_run,
    export_adapter,
    interrupted_run,
    is_plain_peft,
    left_behind,
    new_run_folder,
    read_report,
    verify_run,
    write_run,
)
from peftrec.checkpoint.steps import (
    Tensors,
    checkpoint_folders,
    newest_checkpoint,
    read_checkpoint,
    step_of,
    write_checkpoint,
)

__all__ = [
    "Tensors",
    "checkpoint_folders",
    "digest_run",
    "export_adapter",
    "find_damage",
    "interrupted_run",
    "is_plain_peft",
    "left_behind",
    "new_run_folder",
    "newest_checkpoint",
    "read_checkpoint",
    "read_json",
    "read_report",
    "refuse_output",
    "step_of",
    "to_json",
    "verify_run",
    "write_checkpoint",
    "write_json",
    "write_output",
    "write_run",
    "write_text",
]
