"""A small feature repository: two views of users, whose key is a string, and one of accounts, whose key is a number."""
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
account = Entity(name="account", join_keys=["account_id"], value_type=ValueType.INT64)


def view(name, entity, fields):
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(days=1),
        schema=[Field(name=n, dtype=t) for n, t in fields.items()],
        source=FileSource(path=name + ".parquet", timestamp_field="ts"),
    )


views = [
    view("user_profile", user, {"user_id": String, "age": Int64, "location": String, "member": Bool}),
    view("user_behavior", user, {"user_id": String, "click_rate_24h": Float64, "purchase_history_30d": Int64, "tags": Array(Int64)}),
    view("account", account, {"account_id": Int64, "balance": Float64}),
]
