"""PEFT's layers of several runs over one backbone: those of the second are copies about its own tensors."""

import gc
import weakref

import pytest
import torch
from encoders import configured, hidden, make_encoder, parameters, perturb, rebuilt, save_all, vectors

from peftrec.errors import UserError
from peftrec.model.adapters.peft import PeftAdapter
from peftrec.model.backbone.families import tiny_backbone

TASKS = ["query", "interest"]
METHODS = {
    "lora": {"lora_dropout": 0.1},
    "rslora": {"r": 4, "use_rslora": True, "rank_pattern": {"key": 2}, "target_modules": ["query", "key"]},
    "biased": {"bias": "lora_only"},
    "olora": {"init_lora_weights": "olora"},
    "dora": {},
    "ia3": {},
    "adalora": {},
    "vera": {},
    "fourierft": {"n_frequency": 10},
}


def saved(tmp_path, name, sharing="private", seeds=(1, 2), **options):
    """Folders of encoders with other weights each, and the configurations."""
    method = "lora" if name in ("rslora", "biased", "olora") else name
    configs = dict.fromkeys(TASKS, configured(method, sharing, **options))
    folders = [tmp_path / str(seed) for seed in seeds]
    for seed, folder in zip(seeds, folders, strict=True):
        encoder = make_encoder(tiny_backbone("BERT"), configs)
        perturb(encoder, seed)
        save_all(encoder, TASKS, folder)
    return configs, folders


@pytest.mark.parametrize(("name", "sharing"), [*((name, "private") for name in METHODS), ("lora", "shared")])
def test_a_second_run_over_a_backbone_computes_what_it_does_alone(name, sharing, tmp_path):
    configs, folders = saved(tmp_path, name, sharing, **METHODS[name])
    backbone = tiny_backbone("BERT")
    together = [rebuilt(backbone, configs, folder) for folder in folders]
    for encoder, folder in zip(together, folders, strict=True):
        alone = rebuilt(tiny_backbone("BERT"), configs, folder)
        for task in TASKS:
            assert torch.equal(vectors(encoder, task), vectors(alone, task))
            assert torch.equal(hidden(encoder, task), hidden(alone, task))
        expected = parameters(alone)
        assert all(torch.equal(of, expected[key]) for key, of in parameters(encoder).items())
    assert not torch.equal(vectors(together[0], "query"), vectors(together[1], "query"))
    assert torch.equal(hidden(together[0], None), hidden(make_encoder(tiny_backbone("BERT"), configs), None))


def test_peft_makes_the_layers_of_a_configuration_once_and_a_copy_is_saved_as_it_was(tmp_path, monkeypatch):
    configs, folders = saved(tmp_path, "lora", seeds=(1, 2, 3))
    backbone = tiny_backbone("BERT")
    first = rebuilt(backbone, configs, folders[0])
    monkeypatch.setattr(PeftAdapter, "_graft", lambda *_: pytest.fail("PEFT is asked again"))
    before = vectors(first, "query")
    second, third = (rebuilt(backbone, configs, folder) for folder in folders[1:])
    for parameter in parameters(second).values():
        assert parameter.requires_grad
        parameter.data.zero_()
    assert torch.equal(vectors(first, "query"), before)
    save_all(third, TASKS, tmp_path / "again")
    for task in TASKS:
        for file in (folders[2] / task).iterdir():
            assert (tmp_path / "again" / task / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["lora", "adalora", "ia3", "side", "bottleneck", "prefix"])
def test_a_run_that_is_gone_is_freed_at_once_with_its_layers(name, tmp_path):
    configs, folders = saved(tmp_path, name, layers="all" if name == "prefix" else "top-2")
    backbone = tiny_backbone("BERT")
    first, second = (rebuilt(backbone, configs, folder) for folder in folders)
    before = vectors(second, "query")
    vectors(first, "query")
    gone = [weakref.ref(of) for of in (first, *parameters(first).values())]
    gc.disable()  # for what the service has frozen the collector does not look
    del first
    left = [of for of in gone if of() is not None]
    gc.enable()
    assert len(gone) > 2 and not left
    assert torch.equal(vectors(second, "query"), before)


def test_tensors_that_do_not_fit_a_known_configuration_are_refused(tmp_path):
    configs, folders = saved(tmp_path, "lora")
    _, others = saved(tmp_path / "others", "lora", r=3)
    backbone = tiny_backbone("BERT")
    rebuilt(backbone, configs, folders[0])
    kept = rebuilt(backbone, configs, folders[0])  # so that there is one to copy
    weights = "query/adapter_model.safetensors"
    (folders[1] / weights).write_bytes((others[0] / weights).read_bytes())
    with pytest.raises(UserError, match="its adapter does not fit"):
        rebuilt(backbone, configs, folders[1])
    assert vectors(kept, "query").isfinite().all()
