"""The command line: what a verb measures goes to its results file, and the pages follow."""

import json

import pytest

from benchmarks import __main__ as main
from benchmarks.places import RESULTS
from benchmarks.report.pages import STUDIES


def test_a_study_s_verb_writes_the_results_that_its_page_reads(tmp_path, monkeypatch, capsys):
    assert set(main.STUDIES) <= set(STUDIES) and all((RESULTS / f"{verb}.json").is_file() for verb in main.STUDIES)
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", lambda: ["effects"])
    monkeypatch.setitem(main.STUDIES, "effects", (lambda seeds: {"seeds": seeds}, "seeds"))
    monkeypatch.setattr("sys.argv", ["benchmarks", "effects", "--seeds", "2"])
    main.main()
    assert json.loads((tmp_path / "effects.json").read_text()) == {"seeds": 2}
    assert capsys.readouterr().out == "written: docs/results/effects\n"


def test_a_plan_runs_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "run", lambda *_: pytest.fail("ran"))
    monkeypatch.setattr(main, "write_pages", lambda: pytest.fail("wrote"))
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "full", "--only", "tallrec", "smollm2", "--plan", "--out", str(tmp_path / "out")]
    )
    main.main()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "tallrec: 1 processes to run, about 1.0 minutes of a thread"
    assert said[1].startswith("smollm2: 6 processes to run") and said[2].startswith("in all about")
    assert not (tmp_path / "out").exists()


def test_a_verb_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        main.parse([])
    assert "quick,full,card,fields,ablation,recommending,curves,transfer,report" in capsys.readouterr().err
    given = main.parse(["speed"])
    assert (given.verb, given.repeats) == ("speed", 3)


@pytest.mark.parametrize("held_out", [False, True])
def test_the_card_is_of_the_data_sets_asked_for(tmp_path, monkeypatch, held_out):
    asked = []
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", list)
    monkeypatch.setattr(main, "run_card", lambda data, out, only, *others: asked.append(only) or {})
    out = ["--out", str(tmp_path / "out"), *(["--held-out"] if held_out else [])]
    monkeypatch.setattr("sys.argv", ["benchmarks", "card", "--data", str(tmp_path), *out])
    main.main()
    monkeypatch.setattr("sys.argv", ["benchmarks", "card", "--data", str(tmp_path), *out, "--only", "esci"])
    main.main()
    assert [("banking77" in of, "bitext" in of) for of in asked] == [(held_out, not held_out), (False, False)]
    assert asked[1] == ["esci"]


def test_fields_go_to_their_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", lambda: ["fields"])
    monkeypatch.setattr(main, "run_fields", lambda *asked: {"asked": [str(of) for of in asked]})
    given = f"fields --data {tmp_path} --only video films --out {tmp_path / 'out'}"
    monkeypatch.setattr("sys.argv", ["benchmarks", *given.split()])
    main.main()
    found = json.loads((tmp_path / "fields.json").read_text())
    assert found == {"asked": [str(tmp_path), str(tmp_path / "out"), "['video', 'films']"]}
    assert capsys.readouterr().out == "written: docs/results/fields\n"


def test_learning_curves_go_to_their_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", lambda: ["curves"])
    monkeypatch.setattr(main.curves, "measure", lambda data, out, *asked: {"data": str(data), "asked": [*asked]})
    given = f"curves --data {tmp_path} --draws 2 --sizes 60 --only topic --minutes 5 --out {tmp_path}"
    monkeypatch.setattr("sys.argv", ["benchmarks", *given.split()])
    main.main()
    asked = [2, [60], ["topic"], ["side"], 5.0]
    assert json.loads((tmp_path / "curves.json").read_text()) == {"data": str(tmp_path), "asked": asked}
    assert capsys.readouterr().out == "written: docs/results/curves\n"


def test_an_ablation_goes_to_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", lambda: ["ablation"])
    monkeypatch.setattr(main, "run_ablation", lambda *asked: {"asked": [str(of) for of in asked]})
    out = tmp_path / "out"
    asked = ["--data", str(tmp_path), "--only", "lastfm", "--out", str(out), "--rows", "100", "--seeds", "2"]
    monkeypatch.setattr("sys.argv", ["benchmarks", "ablation", *asked])
    main.main()
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert found == {"asked": [str(tmp_path), str(out.resolve()), "['lastfm']", "100", "2", "[]"]}
    assert capsys.readouterr().out == "written: docs/results/ablation\n"


def test_what_stands_beside_well_known_recommenders_goes_to_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "write_pages", lambda: ["recommending"])
    monkeypatch.setattr(main, "run_recommending", lambda *asked: {"asked": [str(of) for of in asked]})
    out = tmp_path / "out"
    asked = ["--data", str(tmp_path), "--only", "online-retail", "--out", str(out), "--keys", "train.epochs=2"]
    monkeypatch.setattr("sys.argv", ["benchmarks", "recommending", *asked])
    main.main()
    found = json.loads((tmp_path / "recommending.json").read_text())
    assert found == {
        "asked": [str(tmp_path), str(out.resolve()), "['online-retail']", "10000", "3", "['train.epochs=2']"]
    }
    assert capsys.readouterr().out == "written: docs/results/recommending\n"


def test_data_are_a_folder(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main.parse(["card", "--data", str(tmp_path / "nowhere")])
    assert "argument --data: no such folder: " in capsys.readouterr().err


def test_transfer_takes_two_draws_or_more(tmp_path, capsys):
    assert main.parse(["transfer", "--data", str(tmp_path), "--draws", "2"]).draws == 2
    with pytest.raises(SystemExit):
        main.parse(["transfer", "--data", str(tmp_path), "--draws", "1"])
    assert "--draws" in capsys.readouterr().err
