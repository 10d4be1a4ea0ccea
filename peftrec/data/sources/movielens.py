"""MovieLens-100k: 100,000 ratings of 1,682 films by 943 users, and queries composed from the films' facets.

Harper and Konstan 2015, The MovieLens Datasets. GroupLens forbids redistribution, so the files are read from the
installed `recbole` package, which is not imported, or from a folder with `ml-100k.inter` and `ml-100k.item`.

The data set has no query log. Its queries are composed: one for every set of facets (one to three genres, with or
without a decade or a year) that at least two films satisfy, such as "animation for children from the 1990s". A film
with all facets of the query is a match. For each match there is one film that is not: alternately a hard one, which has
some of the facets, and an easy one, which has none. Everything here is deterministic.
"""

import importlib.util
import random
import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.tables import Items, Queries, Tables, make_events, make_items
from peftrec.recipe import EventsConfig, ItemsConfig, UserError

_MOST_MATCHES = 30  # films a query: general queries would otherwise outnumber the particular ones
_NOTE = (
    "MovieLens-100k has no query log: its queries are composed from genres, decades and years of the films; "
    "a match has all facets of the query, half of the others some of them, half none"
)


def load(path: Path | None) -> Tables:
    """Items with the text 'title (year). genres', events with the column `rating`, composed queries.

    Raises UserError when neither the package nor the folder has the files.
    """
    folder = path or _package_folder()
    films = _read(source_file(folder, "ml-100k.item"))
    films = _tidied(films)
    catalogue = ItemsConfig(path="", id="item_id", text="{movie_title}{year}. {genres}")
    items = make_items(films, catalogue)
    events = make_events(
        _read(source_file(folder, "ml-100k.inter")),
        EventsConfig(path="", user="user_id", item="item_id", time="timestamp", columns=["rating"]),
        items,
    )
    return Tables(items, events, compose_queries(items), notes=[_NOTE])


def _package_folder() -> Path:
    found = importlib.util.find_spec("recbole")
    if found is None or found.origin is None:
        raise UserError(
            "data.source: movielens-100k comes with the recbole package, which is not installed: "
            "`pip install --no-deps recbole==1.2.1`, or name a folder with data.path"
        )
    return Path(found.origin).parent / "dataset_example" / "ml-100k"


def _read(file: Path) -> Rows:
    """Tab-separated rows, all text; the header's 'rating:float' becomes 'rating'."""
    try:
        raw = pc.read_csv(
            file,
            parse_options=pc.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pc.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: not a tab-separated file: {error}") from None
    names = [name.partition(":")[0] for name in raw.column_names]
    return Rows(str(file), raw.rename_columns(names), names)


def _tidied(films: Rows) -> Rows:
    """With ' (1995)' as `year`, '' where unknown, and 'Animation, Comedy' as `genres`."""
    years = [f" ({year})" if year.isdigit() else "" for year in films.strings("release_year").to_pylist()]
    genres = [", ".join(names.split()) for names in films.strings("class").to_pylist()]
    table = films.table.append_column("year", pa.array(years)).append_column("genres", pa.array(genres))
    return Rows(films.file, table, table.column_names)


_DESCRIBING = {
    "Animation": "animated",
    "Children's": "children's",
    "Comedy": "funny",
    "Romance": "romantic",
    "Sci-Fi": "science fiction",
    "Film-Noir": "noir",
    "Horror": "scary",
    "Documentary": "documentary",
}
_ENDING = {"Children's": "for children", "Romance": "with romance", "War": "about war", "Musical": "with music"}
_NOUN = {
    "Animation": "animation",
    "Children's": "children's film",
    "Sci-Fi": "science fiction",
    "Film-Noir": "film noir",
    "Action": "action film",
    "War": "war film",
    "Crime": "crime film",
}


def _wording(genres: tuple[str, ...], when: str | None, choice: random.Random) -> str:
    """A phrase for the facets, such as 'scary thriller from the 1970s' or 'crime and drama, 1996'."""
    nouns = [_NOUN.get(genre, genre.lower()) for genre in genres]
    forms = [" ".join([_DESCRIBING.get(g, g.lower()) for g in genres[:-1]] + nouns[-1:])]
    forms.append(f"{' and '.join(_DESCRIBING.get(g, g.lower()) for g in genres)} movies")
    if len(genres) > 1 and genres[-1] in _ENDING:
        forms.append(" ".join([*(_DESCRIBING.get(g, g.lower()) for g in genres[:-2]), nouns[-2], _ENDING[genres[-1]]]))
    phrase = choice.choice(forms)
    if when is None:
        return choice.choice([phrase, f"a {phrase}" if not phrase.endswith("movies") else f"some {phrase}"])
    return choice.choice([f"{phrase} from {when}", f"{phrase} of {when}", f"{when.removeprefix('the ')} {phrase}"])


def compose_queries(items: Items) -> Queries:
    """The queries described above, for a catalogue with the columns `genres` ('A, B') and `year` (' (1995)' or '')."""
    genres = [tuple(sorted(set(names.split(", ")) - {"unknown"})) for names in items.columns["genres"]]
    years = [year.strip(" ()") for year in items.columns["year"]]
    # A facet is a genre, a decade ('the 1990s') or a year ('1996').
    facets = [{*g, *([f"the {y[:3]}0s", y] if y else [])} for g, y in zip(genres, years, strict=True)]
    matches: dict[tuple[tuple[str, ...], str | None], list[int]] = {}
    for item, (own, year) in enumerate(zip(genres, years, strict=True)):
        for size in (1, 2, 3):
            for chosen in combinations(own, size):
                for when in (None, f"the {year[:3]}0s", year) if year else (None,):
                    if size > 1 or when is not None:
                        matches.setdefault((chosen, when), []).append(item)
    texts: list[str] = []
    rows: list[int] = []
    labels: list[float] = []
    for (chosen, when), found in sorted(matches.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")):
        if len(found) < 2:
            continue
        wanted = {*chosen, *([when] if when else [])}
        choice = random.Random(zlib.crc32("|".join(sorted(wanted)).encode()))
        text = _wording(chosen, when, choice)
        hard = [i for i, own in enumerate(facets) if wanted & own and not wanted <= own]
        easy = [i for i, own in enumerate(facets) if not wanted & own]
        positive = choice.sample(found, min(len(found), _MOST_MATCHES))
        count_hard = min(len(hard), (len(positive) + 1) // 2)
        negative = choice.sample(hard, count_hard) + choice.sample(easy, min(len(easy), len(positive) - count_hard))
        for item, label in [(i, 1.0) for i in positive[: len(negative)]] + [(i, 0.0) for i in negative]:
            texts.append(text)
            rows.append(item)
            labels.append(label)
    return Queries(texts, np.asarray(rows, np.int32), np.asarray(labels, np.float64))
