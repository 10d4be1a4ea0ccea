"""The made log: the same rows in both kinds of file, in order of time, with sessions and popular items."""

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from benchmarks.studies import large_log
from benchmarks.studies.large_log import write_shop


def test_the_log_is_the_same_in_parquet_and_csv(tmp_path, monkeypatch):
    monkeypatch.setattr(large_log, "PIECE", 2000)
    for suffix in ("parquet", "csv"):
        write_shop(tmp_path, 5000, 300, suffix)
    events = pq.read_table(tmp_path / "events.parquet")
    assert events.num_rows == 5000 and pq.read_table(tmp_path / "items.parquet").num_rows == 300
    assert pa_csv.read_csv(tmp_path / "events.csv").to_pylist() == events.to_pylist()
    time = events["time"].to_numpy()
    assert (np.diff(time[:2000]) >= 0).all() and time[:2000].mean() < time[3000:].mean()
    assert set(events["stars"].to_pylist()) <= {1, 2, 3, 4, 5}
    times = np.sort(events["item"].value_counts().field("counts").to_numpy())[::-1]
    assert times[0] > 5 * times[len(times) // 2]  # Zipf
    user, order = events["user"].to_numpy(zero_copy_only=False), np.lexsort((time, events["user"].to_numpy()))
    gaps = np.diff(time[order])[user[order][1:] == user[order][:-1]]
    assert 0.5 < (gaps < 1800).mean() < 0.95  # most follow in a session
