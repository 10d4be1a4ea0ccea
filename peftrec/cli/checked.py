"""What `check` does before it imports whatever needs torch: recipe and data."""

from pathlib import Path
from typing import Any

from peftrec.data.load import Ahead
from peftrec.errors import UserError, UserErrors
from peftrec.recipe import mend_recipe


def checked(recipe: Path, overrides: list[str] | None) -> dict[str, Any]:
    """What `training.preflight.check` says of a recipe.

    Raises UserErrors: all mistakes of recipe and data; where the data are right, all others with those of the recipe.
    """
    loaded, problems = mend_recipe(recipe, overrides)
    if loaded is None:
        raise UserErrors(problems)
    try:
        ahead = Ahead(loaded.data, described=True)
    except UserError as error:
        raise UserErrors([*problems, *error.problems]) from None
    if problems:
        from peftrec.training.preflight import find_problems

        raise UserErrors(problems + find_problems(loaded, ahead))
    from peftrec.training.preflight import check

    return check(loaded, ahead)
