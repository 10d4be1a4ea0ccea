"""Files of rows as people have them: delimited text, JSON, parquet, Excel, packed or several at once, and hub ids."""

from peftrec.data.files.read import read_input, read_rows

__all__ = ["read_input", "read_rows"]
