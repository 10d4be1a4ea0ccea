"""The names that `import peftrec` gives: their types, what loading them costs, and their examples."""

import doctest
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import peftrec
from peftrec.evaluation import metrics

ROOT = Path(__file__).parent.parent


def run(*command, cwd, **variables):
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, env={**os.environ, **variables}
    )


def test_every_public_name_is_there():
    assert len(peftrec.__all__) >= 9
    for name in peftrec.__all__:
        assert getattr(peftrec, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'peftrec' has no attribute 'nothing'"):
        _ = peftrec.nothing


def test_type_checkers_see_what_the_public_names_take_and_give(tmp_path):
    # Only peftrec is looked through: torch and its like would take minutes.
    options = ["--strict", "--no-site-packages", "--follow-imports=silent", "--cache-dir", "cache"]
    given = {
        "right.py": """
            from pathlib import Path

            import peftrec

            recipe: peftrec.Recipe = peftrec.load_recipe("movielens-100k", ["train.epochs=1"])
            run: Path = peftrec.train(recipe, "runs/one")
            rows = peftrec.Predictor.load(run).predict("interest", [{"user": "1", "item": "50"}])
            print(rows[0]["score"], peftrec.check(recipe)["tasks"])
            """,
        "wrong.py": """
            import peftrec

            peftrec.load_recipe(3)
            peftrec.train("movielens-100k")
            peftrec.Predictor.load("runs/one").predict("interest", "rows")
            peftrec.nothing
            """,
    }
    for name, text in given.items():
        (tmp_path / name).write_text(textwrap.dedent(text).lstrip())
    done = run("-m", "mypy", *options, *given, cwd=tmp_path, MYPYPATH=str(ROOT))
    assert done.stdout.splitlines() == [
        'wrong.py:3: error: Argument 1 to "load_recipe" has incompatible type "int"; expected "str | Path"  [arg-type]',
        'wrong.py:4: error: Argument 1 to "train" has incompatible type "str"; expected "Recipe"  [arg-type]',
        'wrong.py:5: error: Argument 2 to "predict" of "Predictor" has incompatible type "str"; '
        'expected "list[dict[str, Any]]"  [arg-type]',
        'wrong.py:6: error: Module has no attribute "nothing"  [attr-defined]',
        "Found 4 errors in 1 file (checked 2 source files)",
    ]


def test_type_checkers_see_every_public_name(tmp_path):
    (tmp_path / "all.py").write_text("import peftrec\n" + "".join(f"peftrec.{name}\n" for name in peftrec.__all__))
    options = ["--no-site-packages", "--follow-imports=silent", "--cache-dir", "cache"]
    done = run("-m", "mypy", *options, "all.py", cwd=tmp_path, MYPYPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (0, "Success: no issues found in 1 source file\n")


OPTIONAL = {"faiss", "gguf", "matplotlib", "optuna", "tensorboard", "trackio", "ray", "fastapi"}


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        ("import peftrec", {"torch", "transformers", "numpy", "pydantic"}),
        ("peftrec.load_recipe('movielens-100k')", {"torch", "transformers", "peft", "datasets", "numpy", "sklearn"}),
        (
            "peftrec.check, peftrec.load_data, peftrec.Predictor, peftrec.train, peftrec.tune",
            {"bitsandbytes", "peft", "datasets", "evaluate", "sklearn"},
        ),
        ("peftrec.metric", {"torch", "transformers", "peft", "datasets", "evaluate", "sklearn"}),
    ],
)
def test_public_names_do_not_load_what_they_do_not_need_yet(tmp_path, code, left_out):
    done = run("-c", f"import sys, peftrec; {code}; print(*sys.modules)", cwd=tmp_path, PYTHONPATH=str(ROOT))
    loaded = set(done.stdout.split())
    assert "peftrec" in loaded, done.stderr
    assert loaded & (left_out | OPTIONAL) == set()


def test_the_examples_of_metric_give_what_they_show():
    (found,) = doctest.DocTestFinder().find(metrics.metric, "metric", globs={"peftrec": peftrec})
    assert len(found.examples) == 4
    assert doctest.DocTestRunner().run(found) == doctest.TestResults(failed=0, attempted=4)


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(peftrec.UserError, match=r"^metric: no metric 'acuracy'; did you mean 'accuracy'"):
        peftrec.metric("acuracy")
