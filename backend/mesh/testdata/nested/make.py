"""Makes rows.parquet and rows.jsonl: the same nested rows, so that the same contract must find the same in both.

Run by hand (python3 make.py); go test only reads what it wrote.
"""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq

r = random.Random(5)


def maybe(share, make):
    return None if r.random() < share else make()


def address():
    return {
        "city": maybe(0.1, lambda: r.choice(["Oslo", "Bergen", 'Å "quoted" \\ name', "tab\there"])),
        "zip": maybe(0.1, lambda: r.randrange(-5, 10_000)),
        "geo": maybe(0.2, lambda: {"lat": r.uniform(-100, 100), "lon": maybe(0.3, lambda: r.uniform(-180, 180))}),
    }


rows = [
    {
        "id": i,
        "address": maybe(0.2, address),
        "tags": maybe(0.1, lambda: [maybe(0.2, lambda: r.choice("abcde") * r.randrange(1, 4)) for _ in range(r.randrange(5))]),
        "lines": maybe(0.1, lambda: [{"sku": maybe(0.1, lambda: f"s{r.randrange(9)}"), "amounts": maybe(0.1, lambda: [r.randrange(-2, 9) for _ in range(r.randrange(3))])} for _ in range(r.randrange(4))]),
        "grid": maybe(0.1, lambda: [[r.randrange(9) for _ in range(r.randrange(3))] for _ in range(r.randrange(3))]),
        "attributes": maybe(0.1, lambda: {k: maybe(0.2, lambda: r.randrange(9)) for k in r.sample(["color", "size", "weight"], r.randrange(4))}),
    }
    for i in range(400)
]

schema = pa.schema([
    ("id", pa.int64()),
    ("address", pa.struct([("city", pa.string()), ("zip", pa.int32()), ("geo", pa.struct([("lat", pa.float64()), ("lon", pa.float64())]))])),
    ("tags", pa.list_(pa.string())),
    ("lines", pa.list_(pa.struct([("sku", pa.string()), ("amounts", pa.list_(pa.int64()))]))),
    ("grid", pa.list_(pa.list_(pa.int8()))),
    ("attributes", pa.map_(pa.string(), pa.int64())),
])

with open("rows.jsonl", "w", encoding="utf-8") as f:
    for row in rows:
        f.write(json.dumps(row, ensure_ascii=False) + "\n")

columns = {name: [list(row[name].items()) if name == "attributes" and row[name] is not None else row[name] for row in rows] for name in schema.names}
table = pa.table(columns, schema=schema)
pq.write_table(table, "rows.parquet", row_group_size=150, compression="zstd")
# The way of writers before the standard: the element is called "item", its pages are of the second version.
pq.write_table(table, "old.parquet", row_group_size=400, use_compliant_nested_type=False, data_page_version="2.0", use_dictionary=False)
