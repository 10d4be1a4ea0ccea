"""Where the benchmarks read and write."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "benchmarks/experiments"
RESULTS = ROOT / "benchmarks/results"
PAGES = ROOT / "docs/results"
