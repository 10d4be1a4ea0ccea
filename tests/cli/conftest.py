"""A recipe file for the verbs."""

import pytest


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("backbone: {name: m}\ndata: {source: s}\ntasks: {interest: {kind: interest}}\n")
    return path
