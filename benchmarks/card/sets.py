"""The data sets of the card and their recipes: what cannot be left out, so that the defaults are measured."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.card import held_out, held_out_logs, held_out_texts, tables
from benchmarks.card.tables import Frames

ENGLISH = "sentence-transformers/all-MiniLM-L6-v2"
CHINESE = "intfloat/multilingual-e5-small"

_TEXTS: dict[str, Any] = {"kind": "texts", "text": "{text}"}
GIVEN = _TEXTS | {"split": "split"}
ITEMS: dict[str, Any] = {"kind": "items", "id": "item", "text": "{text}"}
QUERIES: dict[str, Any] = {"kind": "queries", "text": "{query}", "item": "item"}
_EVENTS: dict[str, Any] = {"kind": "events", "user": "user", "item": "item"}
TIMED = _EVENTS | {"time": "time"}


@dataclass(frozen=True)
class CardSet:
    """One data set.

    said    what it is
    tables  (folder of the data, rows) -> its tables by name; see `benchmarks.card.tables`
    data    table -> its keys in the recipe, but for the path
    tasks   as in the recipe
    chinese whether its texts are: the backbone is then CHINESE
    held_out whether no default was chosen by it
    """

    said: str
    tables: Callable[[Path, int], Frames]
    data: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chinese: bool = False
    held_out: bool = False


def _texts(
    said: str, read: Callable[[Path, int], Frames], label: str, table: Mapping[str, Any], **more: Any
) -> CardSet:
    kind = more.pop("kind", "classification")
    return CardSet(said, read, {"texts": table}, {label: {"kind": kind, "label": label}}, **more)


def _texts_of(names: Iterable[str], said: str, read: Callable[[Path, int], Frames], label: str, keys: Any) -> CardSet:
    """A table and a task of each name."""
    tasks = {of: {"kind": "classification", "table": of, "label": label} for of in names}
    return CardSet(said, read, dict.fromkeys(names, keys), tasks, held_out=True)


def _pairs(said: str, read: Callable[[Path, int], Frames], task: str, **more: Any) -> CardSet:
    return CardSet(said, read, {"items": ITEMS, "queries": QUERIES}, {task: {"kind": "match-query"}}, **more)


def _log(said: str, read: Callable[[Path, int], Frames], tasks: Mapping[str, Any], columns: list[str]) -> CardSet:
    return CardSet(said, read, {"items": ITEMS, "events": TIMED | {"columns": columns}}, tasks)


def _rated(threshold: float) -> dict[str, Any]:
    return {
        "like": {"kind": "interest", "column": "rating", "threshold": threshold},
        "next": {"kind": "next-item"},
        "rating": {"kind": "regression", "column": "rating"},
    }


_GAP = {"return": {"kind": "next-gap"}}

SETS: dict[str, CardSet] = {
    "clinc150": _texts("intents, 151 classes", tables.clinc150, "intent", GIVEN),
    "bitext": _texts("support intents, 27 classes", tables.bitext, "intent", _TEXTS),
    "bitext-few": _texts("the same, ten rows a class", tables.bitext_few, "intent", GIVEN),
    "twitter-finance": CardSet(
        "topics and sentiments of financial news",
        tables.twitter_finance,
        {"topics": GIVEN, "opinions": GIVEN},
        {
            "topic": {"kind": "classification", "table": "topics", "label": "label"},
            "sentiment": {"kind": "classification", "table": "opinions", "label": "label"},
        },
    ),
    "crosswoz": _texts("domain of a turn, Chinese", tables.crosswoz, "domain", GIVEN, chinese=True),
    "crosswoz-minilm": _texts("the same with an English backbone", tables.crosswoz, "domain", GIVEN),
    "retail-price": _texts("price by description", tables.retail_price, "price", _TEXTS, kind="regression"),
    "esci": CardSet(
        "product search, graded",
        tables.esci,
        {"items": ITEMS, "queries": QUERIES | {"label": "grade"}},
        {"relevance": {"kind": "match-query"}},
    ),
    "bitext-answers": _pairs("the answer to an utterance", tables.bitext_answers, "answer"),
    "xquad-en": _pairs("the paragraph of a question", partial(tables.xquad, "en"), "paragraph"),
    "xquad-zh": _pairs("the same in Chinese", partial(tables.xquad, "zh"), "paragraph", chinese=True),
    "xquad-zh-minilm": _pairs("the same with an English backbone", partial(tables.xquad, "zh"), "paragraph"),
    "ml-latest-tags": _pairs("the film of a tag", tables.ml_tags, "film"),
    "movielens-100k": _log("film ratings", tables.movielens_100k, _rated(4), ["rating"]),
    "ml-latest-small": _log("film ratings, many films", tables.ml_latest, _rated(4) | _GAP, ["rating"]),
    "movietweetings": _log("film ratings, few a user", tables.movietweetings, _rated(8), ["rating"]),
    "lastfm": CardSet(
        "artists, without times",
        tables.lastfm,
        {"items": ITEMS, "events": _EVENTS},
        {"artist": {"kind": "next-item"}},
    ),
    "online-retail": _log(
        "a shop's order lines",
        tables.online_retail,
        {"next": {"kind": "next-item"}, "quantity": {"kind": "regression", "column": "quantity"}, **_GAP},
        ["quantity"],
    ),
}

_OUT: dict[str, Any] = {"held_out": True}
_BOOKS = {"average_rating": "the mean of a book's stars", "work_text_reviews_count": "how many reviews a book has"}
_CLUES = {
    "eprstmt": ("reviews of a shop, 160 to learn from", "sentence", "label"),
    "tnews": ("headlines, 15 classes", "sentence", "label_desc"),
    "csldcp": ("abstracts of papers, 67 classes", "content", "label"),
    "iflytek": ("what apps are for, 119 classes", "sentence", "label_des"),
}
_SNIPPETS = {"tweets": "tweets", "amazonReviewSnippets": "product reviews", "movieReviewSnippets": "film reviews"}
_SNIPPETS |= {"nytEditorialSnippets": "newspaper editorials"}
SETS |= {
    "banking77": _texts("questions to a bank, 77 intents", held_out.banking77, "intent", GIVEN, **_OUT),
    "banking77-few": _texts("the same, ten rows a class", held_out.banking77_few, "intent", GIVEN, **_OUT),
    "hwu64-few": _texts("told to a robot, 64 intents, ten rows each", held_out.hwu64_few, "intent", GIVEN, **_OUT),
}
for _name, _said in _SNIPPETS.items():
    _scored, _classed = partial(held_out.vader, _name), partial(held_out.vader_mood, _name)
    SETS[f"vader-{_name}"] = _texts(f"mood of {_said}, a number", _scored, "score", _TEXTS, kind="regression", **_OUT)
    SETS[f"vader-{_name}-classes"] = _texts(f"mood of {_said}, 3 classes", _classed, "mood", _TEXTS, **_OUT)
for _name, (_said, _text, _label) in _CLUES.items():
    _read = partial(held_out.fewclue, _name, _text, _label)
    SETS[f"fewclue-{_name}"] = _texts(f"Chinese: {_said}", _read, "class", GIVEN, chinese=True, **_OUT)
for _name, _said in _BOOKS.items():
    _read = partial(held_out.goodbooks, _name)
    SETS[f"goodbooks-{_name}"] = _texts(_said, _read, _name, _TEXTS, kind="regression", **_OUT)
SETS["groceries"] = CardSet(
    "groceries by member and day",
    held_out.groceries,
    {"items": ITEMS, "events": TIMED},
    {"next": {"kind": "next-item"}, **_GAP},
    **_OUT,
)
SETS |= {
    "trec": CardSet(
        "what sort of answer a question asks for, 6 and 50 classes",
        held_out_texts.trec,
        {"texts": GIVEN},
        {of: {"kind": "classification", "label": of} for of in ("coarse", "fine")},
        **_OUT,
    ),
    "snips": _texts("told to an assistant, 7 intents", held_out_texts.snips, "intent", GIVEN, **_OUT),
    "sms-spam": _texts("short messages, spam or not", held_out_texts.sms_spam, "sort", _TEXTS, **_OUT),
    "airline-tweets": _texts("mood of tweets to airlines", held_out_texts.airline_tweets, "mood", _TEXTS, **_OUT),
    "labelled-sentences": _texts_of(
        ("amazon_cells", "imdb", "yelp"),
        "mood of sentences of three sites, a thousand each",
        held_out_texts.labelled_sentences,
        "mood",
        _TEXTS,
    ),
    "waimai": _texts(
        "Chinese: mood of reviews of meals",
        partial(held_out_texts.chinese_reviews, "waimai_10k"),
        "mood",
        _TEXTS,
        chinese=True,
        **_OUT,
    ),
    "hotels": _texts(
        "Chinese: mood of reviews of hotels",
        partial(held_out_texts.chinese_reviews, "ChnSentiCorp_htl_all"),
        "mood",
        _TEXTS,
        chinese=True,
        **_OUT,
    ),
    "online-shopping": CardSet(
        "Chinese: mood of reviews, and what they are of",
        partial(held_out_texts.chinese_reviews, "online_shopping_10_cats"),
        {"texts": _TEXTS},
        {of: {"kind": "classification", "label": of} for of in ("cat", "mood")},
        chinese=True,
        **_OUT,
    ),
    "instrument-reviews": _texts(
        "stars of a review", held_out_logs.instrument_reviews, "rating", _TEXTS, kind="regression", **_OUT
    ),
    "cranfield": _pairs("the abstracts that answer a question", held_out_texts.cranfield, "abstract", **_OUT),
}
_TWO_FILES = {
    "customer-reviews": ("sentences of reviews of devices, for or against", "custrev", ("neg", "pos")),
    "film-lines": ("sentences of reviews of films, for or against", "rt-polarity", ("neg", "pos")),
    "opinions": ("phrases of news, for or against", "mpqa", ("neg", "pos")),
    "subjectivity": ("sentences of plots, or of reviews, of films", "subj", ("objective", "subjective")),
}
for _name, (_said, _file, _ends) in _TWO_FILES.items():
    SETS[_name] = _texts(_said, partial(held_out_texts.two_files, _ends, _file), "side", _TEXTS, **_OUT)
_BRANDED = ITEMS | {"features": {"brand": "category", "category": "category"}}
_PLACES = ("alcohol", "smoking_area", "dress_code", "price", "franchise", "area")
_GUESTS = ("drink_level", "ambience", "transport", "personality", "activity", "budget")
_STARS = TIMED | {"columns": ["rating"]}
SETS |= {
    "musical-instruments": CardSet(
        "stars of products known by id alone",
        held_out_logs.musical_instruments,
        {"items": ITEMS, "events": _STARS},
        _rated(5) | _GAP,
        **_OUT,
    ),
    "amazon-hin": CardSet(
        "stars of products known by number, with brand and categories",
        held_out_logs.amazon_hin,
        {"items": _BRANDED, "events": _STARS},
        _rated(4) | _GAP,
        **_OUT,
    ),
    "bitcoin-otc": CardSet(
        "trust of traders in each other, -10 to 10",
        held_out_logs.bitcoin_otc,
        {"items": ITEMS, "events": _STARS},
        _rated(1) | _GAP,
        **_OUT,
    ),
    "cdnow": CardSet(
        "orders of discs: dollars, and the next order",
        held_out_logs.cdnow,
        {"items": ITEMS, "events": TIMED | {"columns": ["dollars"]}},
        {"dollars": {"kind": "regression", "column": "dollars"}, **_GAP},
        **_OUT,
    ),
    "restaurants": CardSet(
        "few guests' ratings of restaurants, without times",
        held_out_logs.restaurants,
        {
            "items": ITEMS | {"features": dict.fromkeys(_PLACES, "category")},
            "users": {"kind": "users", "id": "user", "features": dict.fromkeys(_GUESTS, "category")},
            "events": _EVENTS | {"columns": ["rating"]},
        },
        {of: keys for of, keys in _rated(2).items() if of != "next"},
        **_OUT,
    ),
    "video-games": CardSet(
        "games known by number, without times",
        held_out_logs.video_games,
        {"items": ITEMS, "events": _EVENTS},
        {"next": {"kind": "next-item"}},
        **_OUT,
    ),
}
_TWEETS = {"emotion": "4 emotions", "irony": "irony or not", "offensive": "offensive or not"}
for _name, _said in _TWEETS.items():
    _read = partial(held_out_texts.tweets, _name)
    SETS[f"tweets-{_name}"] = _texts(f"tweets, {_said}", _read, "label", GIVEN, **_OUT)
SETS |= {
    "tweets-stance": _texts_of(
        ("abortion", "atheism", "climate", "feminist", "hillary"),
        "stances of tweets on five subjects, a few hundred each",
        held_out_texts.stances,
        "label",
        GIVEN,
    ),
    "headlines": _texts(
        "what financial headlines mean for whom they name", held_out_texts.headlines, "mood", _TEXTS, **_OUT
    ),
    "assistants": _texts_of(
        held_out_texts.ASSISTANTS.values(),
        "intents told to three assistants, a few dozen rows each",
        held_out_texts.assistants,
        "intent",
        GIVEN,
    ),
    "film-trust": CardSet(
        "stars of films known by number, without times",
        held_out_logs.film_trust,
        {"items": ITEMS, "events": _EVENTS | {"columns": ["rating"]}},
        _rated(3.5),
        **_OUT,
    ),
    "anime": CardSet(
        "stars of series, without times",
        held_out_logs.anime,
        {"items": ITEMS | {"features": {"type": "category"}}, "events": _EVENTS | {"columns": ["rating"]}},
        _rated(8),
        **_OUT,
    ),
    "books": CardSet(
        "1 to 10 of books, without times",
        held_out_logs.books,
        {
            "items": ITEMS | {"features": {"author": "category"}},
            "users": {"kind": "users", "id": "user", "features": {"age": "number"}},
            "events": _EVENTS | {"columns": ["rating"]},
        },
        _rated(8),
        **_OUT,
    ),
    "games": CardSet(
        "hours that games were played, without times",
        held_out_logs.games,
        {"items": ITEMS, "events": _EVENTS | {"columns": ["hours"]}},
        {"next": {"kind": "next-item"}, "hours": {"kind": "regression", "column": "hours"}},
        **_OUT,
    ),
    "visits": CardSet(
        "articles that were looked at, and bought, by number and without times",
        held_out_logs.visits,
        {"items": ITEMS, "views": _EVENTS, "purchases": _EVENTS},
        {of: {"kind": "next-item", "table": f"{of}s"} for of in ("view", "purchase")},
        **_OUT,
    ),
}


def recipe_of(name: str, folder: Path, chinese: str = CHINESE) -> dict[str, Any]:
    """The recipe of a data set whose tables lie in `folder`: backbone, data and tasks, all else by default."""
    of = SETS[name]
    return {
        "backbone": {"name": chinese if of.chinese else ENGLISH},
        "data": {
            "tables": {table: {**keys, "path": str(folder / f"{table}.parquet")} for table, keys in of.data.items()}
        },
        "tasks": {task: dict(keys) for task, keys in of.tasks.items()},
    }
