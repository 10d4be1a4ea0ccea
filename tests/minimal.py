"""The shortest recipe."""

MINIMAL = {
    "backbone": {"name": "some/model"},
    "data": {"source": "movielens-100k"},
    "tasks": {"interest": {"kind": "interest"}},
}
