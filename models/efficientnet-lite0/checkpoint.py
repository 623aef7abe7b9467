"""Reads a PyTorch checkpoint of the format before 1.6, without PyTorch.

The file is a row of pickles: a magic number, a protocol version, facts about the writer's machine, the object itself, and
the list of storage keys. After them, for each key in that order, stand an 8-byte element count and the raw elements. A
tensor in the object is a view on a storage: offset, size and strides, all in elements.

Only the few classes that a plain state dictionary needs are let through; anything else in the file is refused.
"""

import collections
import io
import pickle
import struct

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _View:
    """A tensor that waits for its storage's bytes."""

    def __init__(self, storage_key, offset, size, strides):
        self.storage_key, self.offset, self.size, self.strides = storage_key, offset, size, strides

    def read(self, storages):
        data = storages[self.storage_key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.strides))
        if self.size and not 0 <= last < len(data):
            raise ValueError(f"a tensor of shape {self.size} reaches past its storage of {len(data)} elements")
        strides_bytes = [s * data.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(data[self.offset:], self.size, strides_bytes, writeable=False)
        return np.ascontiguousarray(view)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.dtypes = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, size, strides, *_: _View(key, offset, size, strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"the checkpoint names {module}.{name}, which a state dictionary does not need")

    def persistent_load(self, saved_id):
        kind, dtype, key, _location, _count, view = saved_id
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unknown persistent object {saved_id!r}")
        self.dtypes[key] = dtype
        return key


def read_state_dict(data):
    """The tensors of a checkpoint's bytes by name, as contiguous numpy arrays."""
    file = io.BytesIO(data)
    if pickle.Unpickler(file).load() != MAGIC or pickle.Unpickler(file).load() != PROTOCOL:
        raise ValueError("not a PyTorch checkpoint of the format before 1.6")
    if not pickle.Unpickler(file).load()["little_endian"]:
        raise ValueError("the checkpoint is big-endian")
    unpickler = _Unpickler(file)
    views = unpickler.load()
    storages = {}
    for key in pickle.Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(unpickler.dtypes[key])
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        if len(storages[key]) != count:
            raise ValueError(f"the checkpoint ends inside storage {key}")
    return {name: view.read(storages) for name, view in views.items()}
