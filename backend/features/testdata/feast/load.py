"""Fills the online store of the repository in the working folder."""
import datetime

import defs
import pandas
from feast import FeatureStore

now = datetime.datetime.now(datetime.timezone.utc)
many = [f"m{i}" for i in range(1000)]
rows = {
    "user_profile": {
        "user_id": ["u1", "u2"] + many,
        "age": [34, 51] + list(range(1000)),
        "location": ["Bern", "Zürich"] + ["Genf"] * 1000,
        "member": [True, False] + [True] * 1000,
    },
    "user_behavior": {
        "user_id": ["u1", "u2"],
        "click_rate_24h": [0.25, float("nan")],
        "purchase_history_30d": [3, 7],
        "tags": [[1, 2], [3]],
    },
    "account": {"account_id": [17, 18], "balance": [1.5, -2.0]},
}
store = FeatureStore(".")
frames = {name: pandas.DataFrame(columns).assign(ts=now) for name, columns in rows.items()}
for name, frame in frames.items():
    frame.to_parquet(name + ".parquet")
store.apply([defs.user, defs.account] + defs.views)
for name, frame in frames.items():
    store.write_to_online_store(name, frame)
