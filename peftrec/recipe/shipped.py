"""The recipes that come with the package: found in a checkout and in an installed wheel alike."""

from pathlib import Path

from peftrec.errors import UserError, nearest
from peftrec.recipe import Recipe
from peftrec.recipe import load as loading


def recipe_files() -> dict[str, Path]:
    """Name -> file of every shipped recipe, in order of name.

    A wheel carries the checkout's top-level recipes/ as peftrec/recipes/ (pyproject.toml, package-dir).
    """
    package = Path(__file__).parents[1]
    folder = next(path for path in (package / "recipes", package.parent / "recipes") if path.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda p: p.stem)}


def find_recipe(name: str) -> Path:
    """The file that a recipe argument means: a path, or the name of a shipped recipe. Raises UserError."""
    path = Path(name)
    if path.is_file():
        return path
    files = recipe_files()
    if name in files:
        return files[name]
    if path.is_dir() or path.suffix or path.name != name:  # written as a path: reading it says what is wrong
        return path
    raise UserError(f"{name}: neither a file nor a shipped recipe; {nearest(name, list(files))}")


def load_recipe(name: str | Path, overrides: list[str] | None = None) -> Recipe:
    """`peftrec.recipe.load_recipe` of a recipe file, or of a shipped recipe by its name. Raises UserError."""
    return loading.load_recipe(find_recipe(str(name)), overrides)


def describe_recipe(path: Path) -> str:
    """The recipe's first comment line, which says what it is for; empty without one."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def copy_recipe(name: str, target: Path) -> Path:
    """Copy the shipped recipe `name` to `target`, a file or an existing folder. Raises UserError if the file exists."""
    files = recipe_files()
    if name not in files:
        raise UserError(f"{name}: no shipped recipe; {nearest(name, list(files))}")
    file = target / files[name].name if target.is_dir() else target
    try:
        with file.open("x", encoding="utf-8") as copy:
            copy.write(files[name].read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(f"{file}: exists already; name another file") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None
    return file
