"""What is drawn for a name follows from torch's seed and the name, and changes nothing outside."""

import torch

from peftrec.machine.draws import drawn_for, seed_all


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


def test_a_seed_is_what_torch_s_own_would_be():
    torch.manual_seed(2**62 + 5)
    plain = torch.rand(4).tolist()
    seed_all(2**62 + 5)
    assert torch.rand(4).tolist() == plain
    assert torch.initial_seed() == 2**62 + 5
