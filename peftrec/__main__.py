"""`python -m peftrec` is the `peftrec` command."""

from peftrec.cli import main

if __name__ == "__main__":
    main()
