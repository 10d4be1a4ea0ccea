"""How a table's rows are divided into train, valid and test."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from peftrec.recipe.strict import Strict


class SplitConfig(Strict):
    """How rows are divided. A text alone is short for a kind, or for the column of a given split."""

    kind: Literal["global-time", "leave-last-out", "random", "stratified", "by-group", "by-text", "given"] = Field(
        "global-time",
        description="the latest rows are tested; each user's last; rows at random; at random with each class in its "
        "share; groups whole (`by`); equal texts together; or as a column of the data or the rows' files say",
    )
    test: float = Field(0.2, gt=0, lt=1, description="share of the test split: of the rows, or of the groups")
    valid: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the validation split; given: of the train rows, where no row is marked valid",
    )
    column: str | None = Field(None, description="given: the column that holds train, valid (or validation) or test")
    files: dict[Literal["train", "valid", "validation", "test"], str] | None = Field(
        None, description="given, without a column: patterns of the names of each split's files: '*_test.csv'"
    )
    by: Literal["user", "item", "query"] | None = Field(
        None, description="by-group: what stays whole; default: the user of events, the query of queries"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return {"kind": value} if value in SPLIT_KINDS else {"kind": "given", "column": value}

    @model_validator(mode="after")
    def _fits_together(self) -> "SplitConfig":
        if self.test + self.valid >= 1:
            raise ValueError(f"test + valid must stay below 1, found {self.test} + {self.valid}")
        for key, kind in (("column", "given"), ("files", "given"), ("by", "by-group")):
            if getattr(self, key) is not None and self.kind != kind:
                raise ValueError(f"{key} belongs to kind: {kind}, found kind: {self.kind}")
        if self.column is not None and self.files is not None:
            raise ValueError("a given split is said by its column or by its files; found both")
        return self


SPLIT_KINDS: tuple[str, ...] = get_args(SplitConfig.model_fields["kind"].annotation)
