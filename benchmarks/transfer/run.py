"""Both questions of transfer, one after the other."""

from pathlib import Path
from typing import Any

from benchmarks.children import commit
from benchmarks.transfer import catalogues, languages


def measure(data: Path, draws: int) -> dict[str, Any]:
    """What `languages.measure` and `catalogues.measure` say; data: the folder that holds the data sets' folders."""
    return {
        "commit": commit(),
        "draws": draws,
        "languages": languages.measure(data, draws),
        "catalogues": catalogues.measure(data, draws),
    }
