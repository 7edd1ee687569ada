"""Writes tests/golden/python.safetensors with the reference implementation (pip: safetensors, numpy); read by tests/io/safetensors_test.cpp."""
import pathlib

import numpy as np
from safetensors.numpy import save_file

tensors = {
    "weights": (np.arange(12, dtype=np.float32) / 4 - 1).reshape(3, 4),
    "half": np.array([1.0, -2.5, 65504.0], dtype=np.float16),
    "counts": np.array([[1, -2], [3, 2**40]], dtype=np.int64),
    "bytes": np.arange(5, dtype=np.uint8),
    "scalar": np.array(7, dtype=np.int32),
    "nothing": np.zeros((0, 4), dtype=np.float64),
}
save_file(tensors, pathlib.Path(__file__).with_name("python.safetensors"), metadata={"format": "pt", "note": "ünïcode"})
