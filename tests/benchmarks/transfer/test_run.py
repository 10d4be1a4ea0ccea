"""Both questions are asked of the same data with as many draws."""

from benchmarks.transfer import catalogues, languages
from benchmarks.transfer.run import measure


def test_both_are_asked(tmp_path, monkeypatch):
    for module in (catalogues, languages):
        monkeypatch.setattr(module, "measure", lambda data, draws, name=module.__name__: (name, data, draws))
    found = measure(tmp_path, 4)
    assert (found["draws"], found["languages"]) == (4, (languages.__name__, tmp_path, 4)) and found["commit"]
    assert found["catalogues"] == (catalogues.__name__, tmp_path, 4)
