"""Mistakes in recipe and data are told before anything is imported that needs torch."""

import json
import subprocess
import sys
from textwrap import dedent

import pytest
from command import peftrec

BLOCKED = """
    import sys

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers", "peft", "accelerate", "datasets"):
                raise SystemError(f"{{name}} is imported")

    sys.meta_path.insert(0, Blocked())
    sys.argv = ["peftrec", *{arguments!r}]
    from peftrec.__main__ import main

    main()
"""


def without_torch(*arguments):
    script = dedent(BLOCKED.format(arguments=[str(of) for of in arguments]))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("verb", ["check", "train"])
def test_mistakes_in_data_need_no_torch(recipe, tmp_path, verb):
    (tmp_path / "items.csv").write_text("id,title\n1,\n2, \n")
    (tmp_path / "events.csv").write_text("user,item,time\na,3,10\n")
    done = without_torch(verb, recipe, *(["--run", tmp_path / "run"] if verb == "train" else []))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"peftrec: {tmp_path}/items.csv: row 1, column 'title': the text must not be empty; found ''; 2 rows break it: "
        "also row 2 ('')",
        f"{tmp_path}/events.csv: row 1, column 'item': must be an id of data.items; found '3'",
    ]
    assert not (tmp_path / "run").exists()


def test_a_run_that_exists_is_told_before_the_data_are_read(recipe, tmp_path):
    (tmp_path / "items.csv").unlink()
    done = without_torch("train", recipe, "--run", tmp_path)
    assert (done.returncode, done.stderr) == (
        2, f"peftrec: {tmp_path}: exists already and is never written over; name another folder\n"
    )  # fmt: skip


def test_mistakes_of_recipe_and_data_are_told_together(recipe, tmp_path):
    (tmp_path / "items.csv").write_text("id,name\n1,x\n")
    done = peftrec("check", recipe, "train.epochs=none", "--json")
    first, second = json.loads(done.stdout)["problems"]
    assert done.exit_code == 2
    assert "train.epochs" in first and second.startswith(f"{tmp_path}/items.csv: no column 'title'")
