"""Where a run's tables come from: files of one's own under names, or a source; and how they are divided."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from peftrec.errors import nearest, shown
from peftrec.recipe.split import SplitConfig
from peftrec.recipe.strict import Strict


class FileConfig(Strict):
    """A file of rows, and how it is read."""

    path: str = Field(
        description="csv, tsv, jsonl, parquet, Excel, RecBole's; several by a pattern such as 'log-*.csv.gz'; a hub id"
    )
    separator: str | None = Field(None, description="between fields, such as ';' or '::'; default: by the file's name")
    header: bool = Field(True, description="whether the first line names the columns")
    names: list[str] | None = Field(
        None, validate_default=True, description="header false: the columns' names, in order"
    )
    encoding: str | None = Field(None, description="of the text, such as latin-1 or gb18030; default: UTF-8")
    quote: str | None = Field(None, description="around fields: a character, or none; default: by the whole file")
    decimal: Literal[".", ","] = Field(".", description="before a number's fraction")
    comment: str | None = Field(None, description="lines that begin with this are left out")
    strip: bool = Field(
        True,
        description="ids and labels as they look: no spaces around them, nothing invisible, whole numbers without .0",
    )

    where: str | None = Field(
        None,
        description="which rows are the table's, such as 'event == \"view\" and price > 0', by any columns of the "
        "file; the others are left out before any other rule is checked; default: all",
    )
    on_bad_rows: Literal["refuse", "skip", "fill"] = Field(
        "refuse",
        description="rows that break a rule: refuse the table; skip them; or fill in what can be missing (the text of "
        "an item or user, an item that the catalogue lacks, a feature) and refuse others; notes count them",
    )

    @field_validator("separator")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        value = "\t" if value == "\\t" else value  # YAML reads \t as a tab only within double quotes
        if value is not None and (not value or set(value) & set('"\r\n\0')):
            raise ValueError(f"must be one or more characters, no quotes and no line breaks; found {shown(value)}")
        return value

    @field_validator("quote")
    @classmethod
    def _quotes(cls, value: str | None) -> str | None:
        if value not in (None, "none") and (len(value) != 1 or not value.isascii() or value.isalnum() or value < " "):
            raise ValueError(f"must be one character such as '\"', or none; found {shown(value)}")
        return value

    @field_validator("comment")
    @classmethod
    def _comments(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or set(value) & set("\r\n")):
            raise ValueError(f"must be what such lines begin with, for example '#'; found {shown(value)}")
        return value

    @field_validator("quote", "decimal", "comment")
    @classmethod
    def _differs(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and value == info.data.get("separator"):
            raise ValueError(f"must differ from separator; found {shown(value)} for both")
        return value

    @field_validator("encoding")
    @classmethod
    def _encodes(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                "".encode(value)
            except (LookupError, ValueError):  # ValueError: a name that no name can be
                raise ValueError(
                    f"must be an encoding that Python knows, such as utf-8, latin-1, gb18030; found {shown(value)}"
                ) from None
        return value

    @field_validator("names")
    @classmethod
    def _named(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if info.data.get("header", True) and value is not None:
            raise ValueError("belongs to header: false; a first line that names the columns is read itself")
        if not info.data.get("header", True) and not value:
            raise ValueError("header: false needs names: [...], one for each column, in order")
        if value is not None and ("" in value or len(set(value)) < len(value)):
            raise ValueError(f"names must be there and differ; found {shown(value)}")
        return value


class TimedConfig(FileConfig):
    """A file whose rows may have a time."""

    time: str | None = Field(None, description="column of the time")
    time_unit: Literal["s", "ms", "us", "ns", "days", "excel"] | None = Field(
        None,
        description="of times that are numbers: since 1970, or Excel's days; default: seconds",
    )
    time_format: str | None = Field(None, description="of times such as 31.5.2024: '%d.%m.%Y'; default: seconds or ISO")

    @field_validator("time_format")
    @classmethod
    def _formats(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            moment = datetime(2024, 5, 31, 18, 30, tzinfo=UTC).strftime(value)
            year = datetime.strptime(moment, value).year
        except ValueError:
            year = 0
        if year != 2024:
            raise ValueError(
                f"must be a pattern with the year, such as '%Y%m%d' or '%d/%m/%Y %H:%M'; found {shown(value)}"
            )
        return value

    @field_validator("time_unit", "time_format")
    @classmethod
    def _of_the_time(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("time") is None:
            raise ValueError("says how the column `time` is read: name that too")
        if value is not None and info.data.get("time_unit") is not None:
            raise ValueError("give one of time_unit (of numbers) and time_format (of texts)")
        return value


class FeaturedConfig(FileConfig):
    """A table with features, which heads read beside the texts."""

    features: dict[str, Literal["number", "category"]] = Field(
        default_factory=dict, description="columns that heads read beside the texts: name: number or category"
    )


class ItemsConfig(FeaturedConfig):
    """A catalogue: a file with one row an item."""

    kind: Literal["items"] = Field("items", description="which sort of table it is")
    id: str = Field(description="column of the unique item id")
    text: str = Field(description="template over columns, such as '{title} ({year}). {genres}'")


class UsersConfig(FeaturedConfig):
    """Users: a file with one row a user. With a text they are a catalogue too, so that people can be recommended."""

    kind: Literal["users"] = Field("users", description="which sort of table it is")
    id: str = Field(description="column of the unique user id")
    text: str | None = Field(None, description="template over columns, where users are recommended")


class EventsConfig(FeaturedConfig, TimedConfig):
    """What users did: a file with one row an event."""

    kind: Literal["events"] = Field("events", description="which sort of table it is")
    user: str = Field(description="column of the user's id")
    item: str = Field(description="column of the item's id, which the catalogue has")
    time: str | None = Field(None, description="column of seconds since 1970 or ISO dates; without: no order is known")
    items: str | None = Field(None, description="the catalogue that its items are of; default: the only one")
    columns: list[str] = Field(default_factory=list, description="numeric columns that tasks use, such as rating")
    clicked: str | None = Field(None, description="column of 1 or 0: which rows were clicked, of items that were shown")
    impression: str | None = Field(
        None, description="column of the id of the list that a row was shown in; empty: in none, known of the past only"
    )
    moment: str | None = Field(
        None,
        description="column whose equal values of a user are one moment, such as an order's id: such rows all get the "
        "time of their last, so that none is the past of another",
    )
    unclicked_in_history: bool = Field(
        False, description="whether histories hold what was shown and not clicked too; how items were received always"
    )
    split: SplitConfig | None = Field(None, description="how this table is divided, instead of data.split")

    @model_validator(mode="after")
    def _shown_lists(self) -> "EventsConfig":
        if self.impression is not None and self.time is None:
            raise ValueError("impression: needs time too: what was clicked in a list is not known when it is shown")
        if self.moment is not None and self.time is None:
            raise ValueError("moment: needs time too, which its rows share")
        if self.moment is not None and self.impression is not None:
            raise ValueError("moment: what is shown in a list (impression) is a moment already; leave one of them out")
        if self.unclicked_in_history and self.clicked is None:
            raise ValueError("unclicked_in_history: needs clicked, the column that says what was not clicked")
        return self


class QueriesConfig(TimedConfig):
    """Queries with the item they refer to. Without `label` every row is a match, and the whole catalogue is ranked."""

    kind: Literal["queries"] = Field("queries", description="which sort of table it is")
    text: str = Field(description="template over columns, such as '{query}'")
    item: str = Field(description="column of the item's id, which the catalogue has")
    items: str | None = Field(None, description="the catalogue that its items are of; default: the only one")
    label: str | None = Field(None, description="column of the grade; two or more distinct numbers, higher is better")
    user: str | None = Field(
        None, description="column of the id of the user who asked: for their features, and by: user"
    )
    time: str | None = Field(None, description="column of the time; needed for a global-time split of queries")
    split: SplitConfig | None = Field(None, description="how this table is divided, instead of data.split")


class TextsConfig(TimedConfig):
    """Single texts, with columns that tasks take labels from."""

    kind: Literal["texts"] = Field("texts", description="which sort of table it is")
    text: str = Field(description="template over columns")
    label: str | None = Field(None, description="column of the labels of tasks that name none")
    time: str | None = Field(None, description="column of the time; needed for a global-time split of texts")
    split: SplitConfig | None = Field(None, description="how this table is divided, instead of data.split")


SHORT = ("items", "users", "events", "queries", "texts")  # one table of a sort needs no name: its sort is its name


def _sort(value: object) -> str | None:
    """Which sort of table is meant; None where none is."""
    said = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return said if said in SHORT else None


TableConfig = ItemsConfig | UsersConfig | EventsConfig | QueriesConfig | TextsConfig
_Tagged = Annotated[
    Annotated[ItemsConfig, Tag("items")]
    | Annotated[UsersConfig, Tag("users")]
    | Annotated[EventsConfig, Tag("events")]
    | Annotated[QueriesConfig, Tag("queries")]
    | Annotated[TextsConfig, Tag("texts")],
    Discriminator(
        _sort,
        custom_error_type="sort_of_table",
        custom_error_message=f"a table is a group of keys with kind: one of {', '.join(SHORT)}",
    ),
]


class DataConfig(Strict):
    """Where the tables come from: a built-in `source`, or one's own files."""

    source: str | None = Field(None, description="a built-in data set, or package.module:function of one's own")
    path: str | None = Field(None, description="folder of the source's files; default: the installed package")
    tables: dict[str, _Tagged] = Field(
        default_factory=dict, description="files of one's own under names, any number of each kind"
    )
    items: ItemsConfig | None = Field(None, description="short for tables: {items: {kind: items, ...}}")
    users: UsersConfig | None = Field(None, description="short for tables: {users: {kind: users, ...}}")
    events: EventsConfig | None = Field(None, description="short for tables: {events: {kind: events, ...}}")
    queries: QueriesConfig | None = Field(None, description="short for tables: {queries: {kind: queries, ...}}")
    texts: TextsConfig | None = Field(None, description="short for tables: {texts: {kind: texts, ...}}")
    split: SplitConfig = SplitConfig()
    history: int = Field(20, ge=0, le=1000, description="most recent events kept as an example's history")

    @model_validator(mode="after")
    def _one_origin(self) -> "DataConfig":
        own = list(self.named)
        if self.source is not None and own:
            raise ValueError(
                f"give either source or tables of your own, found source: {self.source} and {', '.join(own)}"
            )
        if self.source is None and not own:
            raise ValueError("give a source, or at least one of tables, items, users, events, queries, texts")
        if self.source is None and self.path is not None:
            raise ValueError("path belongs to a source; tables of your own each have their own path")
        both = [name for name in SHORT if getattr(self, name) is not None and name in self.tables]
        if both:
            raise ValueError(f"{both[0]} stands here and in tables: keep one of the two, or name it otherwise")
        return self

    @model_validator(mode="after")
    def _catalogues_are_there(self) -> "DataConfig":
        for name, table in self.named.items():
            if isinstance(table, EventsConfig | QueriesConfig):
                self.catalogue_of(name)
        return self

    @model_validator(mode="after")
    def _users_are_one_set(self) -> "DataConfig":
        known: dict[str, str] = {}
        for name, table in self.named.items():
            for feature in table.features if isinstance(table, UsersConfig) else ():
                if feature in known:
                    raise ValueError(
                        f"{self.key_of(name).removeprefix('data.')}.features: users are one set over all tables, and "
                        f"{known[feature]} has the feature {shown(feature)} already: leave it out of one of the two"
                    )
                known[feature] = name
        return self

    @property
    def named(self) -> Mapping[str, TableConfig]:
        """All tables by name, the short forms among them."""
        short = {name: getattr(self, name) for name in SHORT if getattr(self, name) is not None}
        return short | self.tables

    def key_of(self, name: str) -> str:
        """The key under which a table stands, for messages."""
        return f"data.tables.{name}" if name in self.tables else f"data.{name}"

    def split_of(self, name: str) -> SplitConfig:
        """How a table is divided: as it says itself, or as all are."""
        table = self.named.get(name)
        return getattr(table, "split", None) or self.split

    def key_of_split(self, name: str) -> str:
        """The key under which the split of a table stands, for messages."""
        return "data.split" if self.split_of(name) is self.split else f"{self.key_of(name)}.split"

    def catalogue_of(self, name: str) -> str:
        """The name of the catalogue that an event or query table's items are of. Raises ValueError where none is."""
        table, key = self.named[name], self.key_of(name).removeprefix("data.")
        assert isinstance(table, EventsConfig | QueriesConfig)
        items = [other for other, of in self.named.items() if isinstance(of, ItemsConfig)]
        people = [other for other, of in self.named.items() if isinstance(of, UsersConfig) and of.text is not None]
        if table.items is not None:
            if table.items not in [*items, *people]:
                raise ValueError(
                    f"{key}.items: no table {shown(table.items)} of kind items, or of kind users with a text; "
                    f"{nearest(table.items, [*items, *people])}"
                )
            return table.items
        if not items:
            raise ValueError(
                f"{key}: events and queries refer to items: give data.items too; where nothing but ids is known of "
                f"them, path: the file of {key} itself, id: {table.item}, text: '{{{table.item}}}'"
            )
        if len(items) > 1:
            raise ValueError(f"{key}.items: name the catalogue that its items are of: {', '.join(items)}")
        return items[0]
