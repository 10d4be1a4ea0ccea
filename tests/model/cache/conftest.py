"""Every test here begins with an empty cache."""

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PEFTREC_CACHE_GB", raising=False)
    return tmp_path / "cache"
