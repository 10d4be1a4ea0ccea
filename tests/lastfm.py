"""The files of HetRec 2011, Last.fm, made: two circles of users, each with artists, tags and friends of its own."""

from pathlib import Path

import numpy as np


def make_lastfm(folder: Path, users: int = 24, artists: int = 30, tags: int = 14) -> list[str]:
    """Its five files in `folder`, tabs between fields; returns what changes in the recipe `social`.

    Users, artists, tags and friends of even number are one circle, those of odd number the other; of ten things that
    somebody does nine stay within their circle.
    """
    random = np.random.default_rng(0)

    def own(user: int, size: int, many: int) -> list[int]:
        """Numbers below `size`, most of the user's own circle, themselves not among them."""
        drawn = random.permutation([n for n in range(size) if n % 2 == user % 2 or random.random() < 0.1])
        return [n for n in drawn.tolist() if n != user][:many]

    def write(name: str, header: str, rows: list[tuple], encoding: str = "utf-8") -> None:
        lines = ["\t".join(map(str, row)) + "\n" for row in rows]
        (folder / name).write_text((f"{header}\n" if header else "") + "".join(lines), encoding=encoding)

    named = [(n, f"w{n % 2} w{n + 20}", f"http://{n}", "") for n in range(artists)]
    write("artists.dat", "", [(n, '"w1" w9', url, "") if n == 1 else (n, name, url, "") for n, name, url, _ in named])
    write("tags.dat", "tagID\ttagValue", [(n, f"w{n % 2} é{n}") for n in range(tags)], "latin-1")
    each = range(users)
    plays = [(u, a, 100 + a) for u in each for a in own(u, artists, 8)]
    write("user_artists.dat", "//userID\tartistID\tweight", plays)
    write("user_friends.dat", "userID\tfriendID", [(u, f) for u in each for f in own(u, users, 7)])
    tagged = [(u, a, t, 1, 4, 2009) for u in each for a, t in zip(own(u, artists, 5), own(u, tags, 5), strict=False)]
    write("user_taggedartists.dat", "userID\tartistID\ttagID\tday\tmonth\tyear", tagged)
    files = {"artists": "artists", "tags": "tags", "people": "user_friends", "friends": "user_friends"}
    files |= {"plays": "user_artists", "tagged": "user_taggedartists"}
    return [f"data.tables.{table}.path={folder}/{name}.dat" for table, name in files.items()]
