"""The one place that quietens other libraries."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Other libraries' bars, notices and warnings are not shown inside the block; ours are.

    Whatever a library prints goes to stderr. Environment variables that the user has set are obeyed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # Transformers' weight-loading bar obeys it too
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        for library in ("transformers", "peft", "accelerate", "bitsandbytes", "datasets", "huggingface_hub", "torch"):
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
        yield
