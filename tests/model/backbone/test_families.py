"""The families and quantisations that everything is tried on."""

from backbones import CASES


def test_all_families_and_quantisations_are_here():
    assert len(CASES) == 13 * 5
