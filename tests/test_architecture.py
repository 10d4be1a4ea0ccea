"""What keeps the tree readable: the import order, the size of files and functions, nothing that runs foreign code."""

import ast
import functools
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import peftrec

ROOT = Path(peftrec.__file__).parent.parent
# From left to right: a room imports only what stands left of it; rooms side by side do not import each other.
ORDER = {
    "peftrec": (
        "errors < recipe < machine < data < tasks < model < evaluation < runs < training, serving < cli < __main__"
    ),
    "benchmarks": (
        "places < children < card, matrix < ablation < recommending < fields, studies, transfer < report < __main__"
    ),
}
RANK = {
    f"{package}.{name}": rank
    for package, order in ORDER.items()
    for rank, level in enumerate(order.split(" < "))
    for name in level.split(", ")
}
FILES = [path for package in ORDER for path in sorted((ROOT / package).rglob("*.py"))]


TESTS = ROOT / "tests"
# Modules without a test file of their name -> why, and what tests them.
APART = {
    "cli.cache": "model/cache/test_folder.py, over keys made by hand",
    "model.adapters.base": "abstract: test_attach.py and every method's own",
    "model.cache.disk": "a table's states on disk: test_states.py",
    "runs.damage": "runs/test_tables.py and runs/test_folder.py, over runs that were changed",
    "serving.service.seen": "types: test_predicting.py, where somebody counts",
    "serving.service.state": "what others share: test_health.py, where its stages change",
    "tasks.kind": "what a kind may be: test_harness.py, for every one and one from outside",
    "tasks.starts.base": "types: training/test_starts.py and every kind's own",
}


@functools.cache
def nodes_of(path):
    """All of a file's syntax nodes, beginning with its module."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in FILES}


def room(module):
    """The package and what stands first in it: 'peftrec.data' of 'peftrec.data.texts'."""
    return ".".join(module.split(".")[:2])


@functools.cache
def imports(path):
    """Modules of the packages that a file imports, anywhere in it, as dotted names."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole module name"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names = members if node.module in ORDER else [node.module, *members]
        else:
            continue
        for name in names:
            # `from peftrec.data import texts` names a module, `from peftrec.recipe import Recipe` a thing in one.
            if name.partition(".")[0] in ORDER and (name in MODULES or room(name) not in RANK):
                found.add(name)
    return found


def places(condition):
    """file:line of every syntax node that a condition picks."""
    return [f"{path.relative_to(ROOT)}:{node.lineno}" for path in FILES for node in nodes_of(path) if condition(node)]


def test_the_files_are_found():
    assert len(FILES) >= 30
    assert {"peftrec.cli", "peftrec.recipe", "peftrec.data.texts", "peftrec.model.adapters", "peftrec"} <= set(MODULES)
    assert {"benchmarks.matrix.plan", "benchmarks.report.pages", "benchmarks.studies.speed"} <= set(MODULES)


def test_test_folders_mirror_the_folders_of_what_they_test():
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    folders -= {Path("fuzz")}  # which tests the whole command
    assert len(folders) >= 15
    assert [
        str(folder) for folder in folders if not ((ROOT / "peftrec" / folder).is_dir() or (ROOT / folder).is_dir())
    ] == []


def test_every_module_has_its_test_file_where_the_tests_mirror_it():
    files = [path.relative_to(ROOT / "peftrec") for path in FILES if path.is_relative_to(ROOT / "peftrec")]
    modules = [path for path in files if path.name != "__init__.py"]  # which gather what stands in other files
    lacking = [path for path in modules if not (TESTS / path.parent / f"test_{path.stem.strip('_')}.py").is_file()]
    assert {".".join(path.with_suffix("").parts) for path in lacking} == set(APART)


def test_every_module_has_a_place_in_the_order():
    assert {room(name) for name in MODULES} - set(ORDER) <= set(RANK)


@pytest.mark.parametrize("name", sorted(set(MODULES) - set(ORDER)))
def test_a_module_imports_only_what_stands_left_of_it(name):
    own = room(name)
    for imported in imports(MODULES[name]):
        other = room(imported)
        assert other in RANK, f"{name} imports {imported}, which has no place in the order"
        beside = own.partition(".")[0] == other.partition(".")[0]
        below = RANK[other] < RANK[own] if beside else own.startswith("benchmarks.")
        assert below or other == own, f"{name} must not import {imported}"


def test_no_modules_import_each_other():
    graph = {name: imports(path) - {name} for name, path in MODULES.items() if name not in ORDER}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=[module_name(path) for path in FILES])
def test_files_and_functions_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 350
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno + 1 < 80, f"{node.name}, line {node.lineno}"


def test_the_training_loop_is_read_in_one_sitting():
    path = MODULES["peftrec.training.loop"]
    assert len(path.read_text(encoding="utf-8").splitlines()) < 200
    lengths = {n.name: n.end_lineno - n.lineno + 1 for n in nodes_of(path) if isinstance(n, ast.FunctionDef)}
    assert {"train", "fit"} <= set(lengths) and max(lengths.values()) <= 55, lengths


def test_nothing_that_runs_foreign_code_is_read():
    unsafe_modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

    def imports_unsafe(node):
        if isinstance(node, ast.Import):
            return any(alias.name.partition(".")[0] in unsafe_modules for alias in node.names)
        return isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in unsafe_modules

    assert places(imports_unsafe) == []
    assert (
        places(lambda n: isinstance(n, ast.keyword) and n.arg == "trust_remote_code" and n.value.value is not False)
        == []
    )
    assert places(lambda n: isinstance(n, ast.keyword) and n.arg == "allow_pickle" and n.value.value is not False) == []
    assert places(lambda n: isinstance(n, ast.Call) and ast.unparse(n.func) in ("eval", "exec", "torch.load")) == []


def test_yaml_is_read_in_one_place_by_a_safe_loader():
    def reads_yaml(node):
        return isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
            ("yaml.load", "yaml.unsafe", "yaml.full")
        )

    found = places(reads_yaml)
    assert len(found) == 1
    assert found[0].startswith("peftrec/recipe")
