"""Makes the Parquet files of TestHalfFloatsOfParquet and TestTimesOfParquetSayTheirZone: types the Go library cannot write.

Run in this folder: python3 make.py (needs pyarrow; made with 26.0.1).
"""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

half = [np.float16(x) for x in (1.5, -0.1, "nan", "inf", 6e-8, 65504)] + [None]
table = pa.table({"h": pa.array(half, pa.float16()), "l": pa.array([[x] for x in half], pa.list_(pa.float16()))})
pq.write_table(table, "half.parquet", use_dictionary=False)
pq.write_table(table, "half_dictionary.parquet")

moments = [dt.datetime(2026, 1, 1, 12), dt.datetime(2026, 7, 1, 12)]
pq.write_table(
    pa.table({"local": pa.array(moments, pa.timestamp("ms")), "utc": pa.array(moments, pa.timestamp("ms", "UTC"))}),
    "times.parquet",
)
