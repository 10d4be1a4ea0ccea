"""Where what can be made again is kept; model/cache/test_folder.py has what is refused."""

from peftrec.machine.caching import cache_root


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PEFTREC_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("PEFTREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "peftrec"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard has it ignored
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "peftrec"
