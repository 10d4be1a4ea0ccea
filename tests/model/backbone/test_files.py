"""A backbone's files: no code in them is run, weights are safetensors, and every file that shapes a vector counts."""

import io
import json
import shutil
import sys

import pytest
import torch
from backbones import LAYERS
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.backbone import architecture, load_backbone
from peftrec.model.backbone.families import tiny_config, tiny_model, tiny_tokenizer
from peftrec.model.backbone.files import TOKENIZER
from peftrec.recipe import BackboneConfig


@pytest.fixture
def model(folder, tmp_path):
    """A copy of the tiny BERT's folder."""
    return shutil.copytree(folder("BERT"), tmp_path / "model")


def loaded(model, **options):
    return load_backbone(BackboneConfig(name=str(model), dtype="fp32", max_length=32, **options))


def change(file, **values):
    said = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(said | values))


def refused(model, message):
    for load in (loaded, lambda of: architecture(str(of))):
        with pytest.raises(UserError, match=message):
            load(model)


@pytest.mark.parametrize("own", [True, False], ids=["an architecture of its own", "one that Transformers has"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_backbone_is_neither_run_nor_asked_for(model, tmp_path, monkeypatch, capsys, own, file):
    (model / "evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\nclass T: pass\n"
    )
    maps = (
        {"AutoConfig": "evil.C", "AutoModel": "evil.M"} if file == "config.json" else {"AutoTokenizer": ["evil.T"] * 2}
    )
    change(model / file, auto_map=maps)
    if own:
        change(model / file, **({"model_type": "evil"} if file == "config.json" else {"tokenizer_class": "T"}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    refused(model, rf"backbone.name: {file} of .*model asks for code of its own \(auto_map\), which is never run")
    assert sys.stdin.read() == "y\n" * 9
    assert not (tmp_path / "ran").exists()
    assert "[y/N]" not in capsys.readouterr().out


def test_a_kernel_from_the_hub_is_refused(model):
    change(model / "config.json", attn_implementation="someone/kernel")
    refused(model, "config.json of .* asks for a kernel from the hub .'someone/kernel'")


def test_a_folder_with_an_adapter_is_refused(model):
    (model / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/else"}')
    refused(model, "has an adapter_config.json: a backbone is a model alone")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "tf_model.h5"])
def test_weights_that_may_hold_code_are_refused_with_what_converts_them(model, tmp_path, name):
    (model / "model.safetensors").unlink()
    torch.save(tiny_model(tiny_config("BERT", LAYERS)).state_dict(), model / name)
    refused(model, f"model has no safetensors file, only {name}; loading such a file may run code in it")


def test_the_conversion_that_is_named_works(model, tmp_path, monkeypatch):
    expected = loaded(model).model.state_dict()
    (model / "model.safetensors").unlink()
    torch.save(tiny_model(tiny_config("BERT", LAYERS)).state_dict(), model / "pytorch_model.bin")
    with pytest.raises(UserError) as error:
        loaded(model)
    code = str(error.value).partition('python -c "')[2].partition('"`')[0]
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # the line as a user would run it
    tiny_tokenizer(0).save_pretrained(tmp_path / "NEW")
    found = loaded(tmp_path / "NEW").model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("shard", ["pytorch_model.bin", "../elsewhere/model.safetensors", "/tmp/model.safetensors", 3])
def test_an_index_names_safetensors_in_the_folder_only(model, shard):
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    refused(model, f"the weights of .* must be safetensors files in it; found {shard!r}")
    (model / "model.safetensors.index.json").unlink()
    change(model / "config.json", transformers_weights=shard)
    refused(model, f"the weights of .* must be safetensors files in it; found {shard!r}")


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "cannot be read"), ("[" * 9999, "cannot be read"), ("[]", "a list")]
)
def test_a_damaged_configuration_is_one_message(model, text, problem):
    (model / "config.json").write_text(text)
    refused(model, f"backbone.name: config.json of .*{problem}")


def test_every_file_that_shapes_a_vector_is_in_the_digest(model):
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text("{}")
    before = loaded(model)
    assert before.digest.startswith("v2:") and len(before.digest) == 67
    tokens = [name.replace("*", "x") for name in TOKENIZER]
    changed = {}
    for name in tokens:
        kept = (model / name).read_bytes() if (model / name).exists() else None
        if name == "tokenizer.json":
            (model / name).write_bytes(kept.replace(b'"w1"', b'"w_"').replace(b'"w2"', b'"w1"'))
        elif name.endswith(".json"):
            change(model / name, **({"more": 1} if name == "tokenizer_config.json" else {}))
            (model / name).write_text((model / name).read_text() + " ")
        else:
            (model / name).write_text("a b\n")
        changed[name] = digest_of(model)
        (model / name).unlink()
        if kept is not None:
            (model / name).write_bytes(kept)
    assert len({before.digest, *changed.values()}) == len(TOKENIZER) + 1 == 13
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert digest_of(model) != before.digest
    (model / "1_Pooling" / "config.json").write_text("{}")
    (model / "README.md").write_text("shapes nothing")
    assert digest_of(model) == before.digest
    change(model / "config.json", layer_norm_eps=1e-3)
    assert digest_of(model) != before.digest


def digest_of(model):
    from peftrec.model.backbone.files import digests
    from peftrec.model.backbone.load import _family_pooling, _stated_prompts

    pooling, prompts = _family_pooling(None, str(model)), _stated_prompts(str(model), str(model))
    config = BackboneConfig(name=str(model), dtype="fp32", max_length=32)
    return digests(str(model), None, config, pooling, prompts)[0]


def test_all_shards_and_their_index_count(model):
    model_, whole = tiny_model(tiny_config("BERT", LAYERS)), loaded(model)
    (model / "model.safetensors").unlink()
    model_.save_pretrained(model, max_shard_size="20KB")
    shards = sorted(model.glob("*.safetensors"))
    sharded = loaded(model)
    assert len(shards) > 2 and sharded.digest != whole.digest
    for shard in shards:
        kept = shard.read_bytes()
        shard.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        assert loaded(model).digest != sharded.digest
        shard.write_bytes(kept)
    assert loaded(model).digest == sharded.digest


def test_pooling_and_prompts_that_the_recipe_names_are_no_other_backbone(model):
    assert loaded(model, pooling="cls", prompts={"query": "q: "}).digest == loaded(model).digest


def test_what_goes_before_texts_is_what_the_recipe_or_else_the_model_says(model):
    before = loaded(model)
    assert before.prompts == ("", "")
    change(
        model / "config_sentence_transformers.json", prompts={"query": "query: ", "passage": "passage: ", "sts": "s"}
    )
    stated = loaded(model)
    assert stated.prompts == ("query: ", "passage: ") and stated.digest != before.digest
    assert loaded(model, prompts={"passage": "p "}).prompts == ("", "p ")
    change(model / "config_sentence_transformers.json", prompts=None)
    assert loaded(model).digest == before.digest
    (model / "config_sentence_transformers.json").write_text("{")
    with pytest.raises(UserError, match=r"config_sentence_transformers.json of .* cannot be read"):
        loaded(model)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(the tiny shop, a run of it)."""
    from peftrec.training.loop import train

    shop = make_tiny_shop(tmp_path_factory.mktemp("shop"))
    return shop, train(tiny_recipe(shop, train={"epochs": 1, "max_steps": 1}), shop / "run")


def with_digest(run, copy, digest):
    from peftrec.machine.files import MANIFEST, read_json, write_json, write_manifest

    shutil.copytree(run, copy)
    write_json(copy / "model.json", read_json(copy / "model.json") | {"backbone_digest": digest})
    (copy / MANIFEST).unlink()
    write_manifest(copy)
    return copy


def test_runs_from_before_tokenizers_counted_still_load(trained, tmp_path):
    from peftrec.runs.saved import load_run

    shop, run = trained
    base = load_backbone(tiny_recipe(shop).backbone)
    assert json.loads((run / "model.json").read_text())["backbone_digest"] == base.digest
    old = with_digest(run, tmp_path / "old", base.first_digest)
    assert load_run(old).model.encoder.backbone.digest == base.digest
    with pytest.raises(UserError, match="trained on a backbone with digest 000"):
        load_run(with_digest(run, tmp_path / "other", "0" * 64))


def test_the_older_digest_is_what_it_was(model):
    import hashlib

    expected = hashlib.sha256(b"None False fp32")
    for name in ("config.json", "model.safetensors"):
        expected.update(name.encode() + (model / name).read_bytes())
    assert loaded(model).first_digest == expected.hexdigest()


def test_a_run_is_refused_where_the_tokenizer_was_replaced(trained, tmp_path):
    from peftrec.runs.saved import load_run

    shop, run = trained
    model = shutil.copytree(shop / "model", tmp_path / "model")
    assert load_run(run, str(model)).recipe.backbone.name == str(model)
    text = (model / "tokenizer.json").read_text()
    (model / "tokenizer.json").write_text(text.replace('"w1"', '"w_"').replace('"w2"', '"w1"').replace('"w_"', '"w2"'))
    with pytest.raises(UserError, match="trained on a backbone with digest v2:"):
        load_run(run, str(model))
