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


@contextmanager
def loading_silenced() -> Iterator[None]:
    """Transformers' bar over the weights and bitsandbytes' advice at its import are not shown inside the block.

    For callers from Python, whose settings are as before afterwards; HF_HUB_DISABLE_PROGRESS_BARS=0 is obeyed.
    """
    from huggingface_hub import constants
    from transformers.utils import logging as theirs

    advice = logging.getLogger("bitsandbytes")
    level = advice.level
    hidden = theirs.is_progress_bar_enabled() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None
    advice.setLevel(logging.ERROR)
    if hidden:
        theirs.disable_progress_bar()
    try:
        yield
    finally:
        advice.setLevel(level)
        if hidden:
            theirs.enable_progress_bar()
