"""Which limit an error of the system means, and where."""

import errno

import pytest
from safetensors import SafetensorError

from peftrec.machine.limits import no_room

FULL = ("the disk is full", "free some space")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, ("the quota is used up", "free some space")),
        (errno.EFBIG, ("the limit of a file's size is reached", "raise it (ulimit -f)")),
        (errno.EACCES, None),
    ],
)
def test_the_systems_number_is_told_in_words(tmp_path, number, told):
    assert no_room(OSError(number, "as the system says it"), tmp_path) == told
    assert no_room(OSError(number, "as the system says it", str(tmp_path / "here")), tmp_path) == told


def test_a_file_elsewhere_is_another_matter(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "elsewhere"))
    assert no_room(error, tmp_path / "run") is None


def test_safetensors_has_the_number_in_its_text(tmp_path):
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert no_room(error, tmp_path) == FULL
    assert no_room(SafetensorError("Error while deserializing header"), tmp_path) is None
