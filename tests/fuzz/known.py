"""What the cases of the suite find and is not mended yet: the case, and a part of each line that it finds.

An entry that finds its line no more fails the suite until it is taken off.
"""

# A recipe's YAML: nested without end, numbers without end, an alias of itself.
_RECIPES = {
    "recipe:23": ("traceback RecursionError: 'maximum recursion depth exceeded",),
    "recipe:31": ("traceback ValueError: 'Overflow when unpacking long long' at training/prepare.py",),
    "recipe:52": ("traceback PydanticSerializationError: 'Error serializing to JSON: ValueError: Circular reference",),
}
# A run whose manifest is written to fit: its files are not held against what they must be.
_RUNS = {
    "run:1": ("traceback TypeError: '`EvaConfig` must be a `EvaConfig`, a dict, or None.' at model/adapters/peft.py",),
    "run:6": ("traceback RecursionError: 'maximum recursion depth exceeded while decoding a JSON array",),
    "run:10": ("traceback JSONDecodeError: 'Unterminated string",),
    "run:11": ("prints the control character '\\x00'",),
    "run:15": ('traceback OSError: "Could not open Parquet input source',),
    "run:16": ("traceback TypeError: '`BdLoraConfig` must be a `BdLoraConfig`, a dict, or None.' at model/adapters",),
    "run:21": ("traceback TypeError: \"'str' object is not a mapping\" at model/adapters/peft.py",),
    "run:28": ("traceback RecursionError: 'maximum recursion depth exceeded while decoding a JSON array",),
    "run:30": ("traceback SafetensorError: 'Error while deserializing header",),
    "run:54": ("traceback ValueError: '26 predictions, 1 labels and 1 groups: not as many' at evaluation/metrics.py",),
}
# A cache: key.json a link to /dev/zero; an index entry that begins at 2^63 - 1.
_CACHES = {
    "cache:1": ("takes more than 2 GB", "traceback MemoryError: '' at model/cache/folder.py:list_keys"),
    "cache:27": ("traceback IndexError: 'index 9223372036854775807 is out of bounds for axis 0",),
}
KNOWN: dict[str, tuple[str, ...]] = {**_RECIPES, **_RUNS, **_CACHES}
