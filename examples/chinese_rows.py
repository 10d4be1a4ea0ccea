"""Chinese: from three data sets as they are published to the rows that the recipe `chinese` reads.

    python examples/chinese_rows.py --crosswoz val.json.zip --xquad xquad.zh.json.gz --reviews pos.txt neg.txt --to rows

Of CrossWOZ's dialogues come the user's turns that are about one thing, of XQuAD paragraphs and their questions, of two
files of reviews a line each with its label. Reviews that stand there again are left out, and at most `--most` are kept
of each, drawn.
"""

import argparse
import gzip
import json
import random
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NO_DOMAIN = {"General", "greet", "thank", "bye", "none"}


def read(file: Path) -> Any:
    """What a JSON file holds, packed as it may be."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as packed:
            return json.loads(packed.read(packed.namelist()[0]))
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as text:
        return json.load(text)


def turns(dialogues: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The turns of users whose acts are of one domain."""
    for message in (of for dialogue in dialogues.values() for of in dialogue["messages"]):
        domains = {act[1] for act in message["dialog_act"]} - NO_DOMAIN
        if message["role"] == "usr" and len(domains) == 1:
            yield {"content": message["content"], "domain": domains.pop()}


def reviews(positive: Path, negative: Path, most: int) -> Iterator[dict[str, str]]:
    """Reviews of both sorts, each once."""
    for label, file in (("positive", positive), ("negative", negative)):
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        once = list(dict.fromkeys(lines))
        for line in random.Random(0).sample(once, min(most, len(once))):
            yield {"review": line, "label": label}


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crosswoz", type=Path, required=True, help="dialogues of CrossWOZ")
    parser.add_argument("--xquad", type=Path, required=True, help="XQuAD of a language")
    parser.add_argument("--reviews", type=Path, nargs=2, required=True, help="positive ones, negative ones")
    parser.add_argument("--most", type=int, default=1_500, help="reviews of each sort")
    parser.add_argument("--to", type=Path, required=True, help="the folder for the rows")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    write(options.to / "turns.jsonl", turns(read(options.crosswoz)))
    paragraphs = [of for article in read(options.xquad)["data"] for of in article["paragraphs"]]
    write(
        options.to / "paragraphs.jsonl", ({"id": f"p{n}", "context": of["context"]} for n, of in enumerate(paragraphs))
    )
    asked = ({"question": qa["question"], "id": f"p{n}"} for n, of in enumerate(paragraphs) for qa in of["qas"])
    write(options.to / "questions.jsonl", asked)
    write(options.to / "reviews.jsonl", reviews(*options.reviews, options.most))
