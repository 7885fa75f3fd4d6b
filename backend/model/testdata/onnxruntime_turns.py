"""Scores a batch with onnxruntime on one thread each time a line arrives, and answers with the nanoseconds it took.

Used by BenchmarkForestAgainstONNXRuntime to take turns in one run:  python onnxruntime_turns.py MODEL ROWS.csv BATCH
"""
import sys, time
import numpy as np
import onnxruntime as ort

model, rows, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
X = np.genfromtxt(rows, delimiter=",", skip_header=1)
X = np.ascontiguousarray(np.tile(X, (batch // len(X) + 1, 1))[:batch].astype(np.float32))
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: X}
session.run(None, feed)
print("ready", ort.__version__, flush=True)
for _ in sys.stdin:
    began = time.perf_counter_ns()
    session.run(None, feed)
    print(time.perf_counter_ns() - began, flush=True)
