"""Jinja templates of the package: what a run looks like to people. A name that a template lacks is an error."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache  # compiling them takes longer than filling them in
def templates(package: str, escape: bool) -> Environment:
    """The templates that stand in a package's folder; `escape`: values are put into HTML."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
