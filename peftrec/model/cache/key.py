"""What the cached states depend on, beside the texts themselves: any change of it is another key."""

import hashlib
import importlib.metadata
import json
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch

from peftrec.model.backbone import Backbone

version = cache(importlib.metadata.version)
_DIGESTS: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()  # of tokenizers, which nobody changes
FORMAT = 1  # raised when the same description would mean other states, or another layout on disk


def describe_key(backbone: Backbone, level: str, layer: int, storage: torch.dtype) -> dict[str, Any]:
    """The key as plain values.

    Where texts are cut is no part of it: a text is known by the tokens that are left of it. Of the packages' versions
    those that compute the states count, to the minor number: releases that only fix bugs keep the cache. The attention
    kernel and the number of threads change states by rounding only, and do not count.
    """
    computing = ["torch", "transformers"]
    if backbone.config.quantize is not None:
        computing.append("bitsandbytes")
    return {
        "format": FORMAT,
        "weights": backbone.digest,  # with quantisation and requested dtype
        "compute": [str(backbone.dtype), backbone.device.type],
        "storage": str(storage),
        "tokenizer": tokenizer_digest(backbone.tokenizer),
        "level": level,
        "layer": layer,
        "pooling": None if level == "layer" else backbone.pooling,
        "versions": {name: ".".join(version(name).split(".")[:2]) for name in computing},
    }


def key_name(described: dict[str, Any]) -> str:
    """A folder name for the key, 24 hexadecimal digits."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 over all that decides how a text becomes tokens; truncation and padding, which calls change, left out."""
    if (known := _DIGESTS.get(tokenizer)) is not None:
        return known
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        content = {k: v for k, v in json.loads(fast.to_str()).items() if k not in ("truncation", "padding")}
    else:
        content = {
            "class": type(tokenizer).__name__,
            "vocabulary": tokenizer.get_vocab(),
            "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        }
    _DIGESTS[tokenizer] = found = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return found
