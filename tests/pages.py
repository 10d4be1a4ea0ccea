"""The documents as tests see them: their files, code blocks and marked parts."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
EXAMPLES = DOCS / "extend" / "examples"
SNIPPET = re.compile(r'--8<-- "(.*)"\n')  # a block that holds nothing but a file


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks of a language, but for those marked `<!-- not run: reason -->`."""
    found = re.findall(rf"(<!-- not run: .+ -->\n)?```{language}\n(.*?)```", read(page), re.DOTALL)
    return [text for mark, text in found if not mark]


def part(page: Path, mark: str) -> str:
    """What stands between the page's `<!-- mark:begin -->` and `<!-- mark:end -->`."""
    return read(page).split(f"<!-- {mark}:begin -->")[1].split(f"<!-- {mark}:end -->")[0]


def load(file: Path) -> ModuleType:
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
