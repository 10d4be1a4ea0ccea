"""What is drawn for a name follows from torch's seed and the name, and changes nothing outside."""

import torch

from peftrec.machine.draws import drawn_for


def drawn(name, seed=0, before=0):
    torch.manual_seed(seed)
    torch.rand(before)
    with drawn_for(name):
        return torch.rand(3).tolist()


def test_it_follows_from_seed_and_name_alone():
    assert drawn("a") == drawn("a", before=5) != drawn("b")
    assert drawn("a", seed=1) != drawn("a")


def test_what_is_drawn_outside_stays_what_it_was():
    torch.manual_seed(3)
    plain = torch.rand(4).tolist()
    torch.manual_seed(3)
    first = torch.rand(2).tolist()
    with drawn_for("a"):
        torch.rand(7)
    assert first + torch.rand(2).tolist() == plain
    assert torch.initial_seed() == 3
