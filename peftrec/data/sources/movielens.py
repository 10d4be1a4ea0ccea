"""MovieLens-100k: 100,000 ratings of 1,682 films by 943 users, and queries composed from the films' facets.

Harper and Konstan 2015, The MovieLens Datasets. GroupLens forbids redistribution, so the files are read from the
installed `recbole` package, which is not imported, or from a folder with `ml-100k.inter` and `ml-100k.item`.

The data set has no query log. Its queries are composed: one for every set of two or more facets (one to three genres,
with or without a decade or a year) that at least two films satisfy, such as "animation for children from the 1990s".
A film with all facets of the query is a match. For each match there is one film that is not: half of these are hard,
having some of the facets, half easy, having none. Everything here is deterministic.
"""

import importlib.util
import zlib
from itertools import chain, combinations, product
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from peftrec.data.entry import make_events, make_items
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.tables import Items, Queries, Tables
from peftrec.errors import UserError
from peftrec.recipe import EventsConfig, ItemsConfig

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
    films = _tidied(_read(source_file(folder, "ml-100k.item")))
    catalogue = ItemsConfig(path="", id="item_id", text="{movie_title}{year}. {genres}")
    items = make_items(films, catalogue)
    events = make_events(
        _read(source_file(folder, "ml-100k.inter")),
        EventsConfig(path="", user="user_id", item="item_id", time="timestamp", columns=["rating"]),
        items,
    )
    return Tables({"items": items, "events": events, "queries": compose_queries(items)}, [_NOTE])


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
    return Rows(str(file), raw.rename_columns(names))


def _tidied(films: Rows) -> Rows:
    """With ' (1995)' as `year`, '' where unknown, and 'Animation, Comedy' as `genres`."""
    years = [f" ({year})" if year.isdigit() else "" for year in films.strings("release_year").to_pylist()]
    genres = [", ".join(names.split()) for names in films.strings("class").to_pylist()]
    table = films.table.append_column("year", pa.array(years)).append_column("genres", pa.array(genres))
    return Rows(films.file, table)


_ADJECTIVES = {
    "Animation": "animated",
    "Comedy": "funny",
    "Documentary": "documentary",
    "Film-Noir": "noir",
    "Horror": "scary",
    "Romance": "romantic",
    "Sci-Fi": "science fiction",
}
_NOUNS = {
    "Action": "action film",
    "Animation": "animation",
    "Children's": "children's film",
    "Crime": "crime film",
    "Film-Noir": "film noir",
    "Sci-Fi": "science fiction",
    "War": "war film",
}
_ENDINGS = {"Children's": "for children", "Musical": "with music", "Romance": "with romance", "War": "about war"}


def _noun_phrase(genres: tuple[str, ...]) -> str:
    return " ".join([*(_ADJECTIVES.get(g, g.lower()) for g in genres[:-1]), _NOUNS.get(genres[-1], genres[-1].lower())])


def _wording(genres: tuple[str, ...], when: str | None, random: Random) -> str:
    """A phrase for the facets, such as 'animation for children from the 1990s' or 'scary and funny movies of 1996'."""
    adjectives = [_ADJECTIVES.get(genre, genre.lower()) for genre in genres]
    phrases = [
        _noun_phrase(genres),
        " and ".join(filter(None, [", ".join(adjectives[:-1]), adjectives[-1]])) + " movies",
    ]
    for genre in genres:
        if genre in _ENDINGS and len(genres) > 1:
            phrases.append(f"{_noun_phrase(tuple(g for g in genres if g != genre))} {_ENDINGS[genre]}")
    phrase = random.choice(phrases)
    if when is None:
        return phrase
    return random.choice([f"{phrase} from {when}", f"{phrase} of {when}", f"{when.removeprefix('the ')} {phrase}"])


def compose_queries(items: Items) -> Queries:
    """The queries described above, for a catalogue with the columns `genres` ('A, B') and `year` (' (1995)' or '')."""
    genres = [sorted({*names.split(", ")} - {"unknown"}) for names in items.columns["genres"]]
    years = [year.strip(" ()") for year in items.columns["year"]]
    whens = [[f"the {year[:3]}0s", year] if year else [] for year in years]
    names = {name: n for n, name in enumerate(sorted({*chain(*genres), *chain(*whens)}))}
    has = np.zeros((len(items), len(names)), bool)  # film, facet
    matches: dict[tuple[tuple[str, ...], str | None], list[int]] = {}
    for item, (own, own_whens) in enumerate(zip(genres, whens, strict=True)):
        has[item, [names[facet] for facet in (*own, *own_whens)]] = True
        for size, when in product((1, 2, 3), (None, *own_whens)):
            for chosen in combinations(own, size):
                matches.setdefault((chosen, when), []).append(item)
    rows: list[tuple[str, int, float]] = []
    for (chosen, when), found in sorted(matches.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")):
        wanted = [names[facet] for facet in (*chosen, *([when] if when else []))]
        if len(found) < 2 or len(wanted) < 2:
            continue
        # One random state a query: a change of one film leaves the other queries as they are.
        random = Random(zlib.crc32("|".join((*chosen, when or "")).encode()))
        text = _wording(chosen, when, random)
        shared = has[:, wanted].sum(1)
        hard, easy = np.flatnonzero((shared > 0) & (shared < len(wanted))), np.flatnonzero(shared == 0)
        positive = random.sample(found, min(len(found), _MOST_MATCHES))
        negative = random.sample(hard.tolist(), min(len(hard), (len(positive) + 1) // 2))
        negative += random.sample(easy.tolist(), min(len(easy), len(positive) - len(negative)))
        rows += [(text, item, 1.0) for item in positive[: len(negative)]] + [(text, item, 0.0) for item in negative]
    return Queries(
        text=[text for text, _, _ in rows],
        item=np.asarray([item for _, item, _ in rows], np.int32),
        label=np.asarray([label for _, _, label in rows], np.float64),
    )
