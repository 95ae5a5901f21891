"""Pickles built operation by operation, as Python 2 and torch wrote them, and hostile ones."""

import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np

MARK, CALL, TUPLE, STATE, OUTSIDE, END = b"(", b"R", b"t", b"b", b"Q", b"."


def program(*operations):
    """A complete pickle of one object."""
    return b"\x80\x02" + b"".join(operations) + END


def name(dotted):
    module, _, last = dotted.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def text(string):
    data = string.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def old_text(data):
    """A string of Python 2, which also held binary data."""
    return b"T" + struct.pack("<I", len(data)) + data


def number(value):
    return f"L{value}L\n".encode()


def row(*items):
    return MARK + b"".join(items) + TUPLE


def listed(*items):
    return b"](" + b"".join(items) + b"e"


def numbers(values):
    return row(*map(number, values))


def dictionary(items):
    return b"}(" + b"".join(key + value for key, value in items) + b"u"


def ordered(items):
    return name("collections.OrderedDict") + b")R(" + b"".join(k + v for k, v in items) + b"u"


def tensor(storage, shape, strides=None, offset=0):
    """Torch's description of a tensor; `storage` refers to its numbers."""
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    window = (storage, number(offset), numbers(shape), numbers(strides), b"\x89")
    return name("torch._utils._rebuild_tensor_v2") + row(*window, ordered([])) + CALL


def storage(key, count, *more):
    kind = name("torch.FloatStorage")
    return row(text("storage"), kind, text(key), text("cpu"), number(count), *more) + OUTSIDE


def state_dict(arrays, *more):
    """{name: array}; the i-th storage has the key i, and `more` is appended to its identity."""
    pairs = enumerate(arrays.items())
    return program(
        ordered(
            (text(key), tensor(storage(str(i), array.size, *more), array.shape))
            for i, (key, array) in pairs
        )
    )


def zipped(pickled, arrays, compression=zipfile.ZIP_STORED):
    """PyTorch's file since 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{i}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def in_a_row(pickled, arrays):
    """PyTorch's file from 0.1.10 to 1.5."""
    start = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}]
    data = b"".join(pickle.dumps(item, 2) for item in start) + pickled
    data += pickle.dumps([str(i) for i in range(len(arrays))], 2)
    return data + b"".join(counted(array) for array in arrays.values())


def counted(array):
    return struct.pack("<q", array.size) + array.tobytes()


def in_a_tar(arrays, parameters=False, content=None):
    """PyTorch's file before 0.1.10: storages have even numbers here, their tensors odd ones.

    `content` replaces the pickle of the state_dict.
    """
    storages = tensors = pickle.dumps(len(arrays), 2)
    pairs = []
    for i, (key, array) in enumerate(arrays.items()):
        kind = name("torch.FloatStorage")
        storages += program(row(number(2 * i), text("cpu"), kind)) + counted(array)
        tensors += program(row(number(2 * i + 1), number(2 * i), name("torch.FloatTensor")))
        strides = [step // array.itemsize for step in array.strides]
        tensors += struct.pack("<ii", array.ndim, 0)
        tensors += struct.pack(f"<{2 * array.ndim + 1}q", *array.shape, *strides, 0)
        value = text(str(2 * i + 1)) + OUTSIDE
        if parameters:  # their state: tensor, gradient, hooks, two flags
            state = row(value, b"N", b"N", b"\x88", b"\x89")
            value = name("torch.nn.parameter.Parameter") + b")\x81" + state + STATE
        pairs.append((text(key), value))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        members = {
            "sys_info": pickle.dumps({}, 2),
            "pickle": content or program(ordered(pairs)),
            "tensors": tensors,
            "storages": storages + pickle.dumps([], 2),
        }
        for member, data in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def old_numpy(array):
    """An array as NumPy pickled it under Python 2, in Fortran order if it is stored so."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    rebuild = name("numpy.core.multiarray._reconstruct")
    rebuild += row(name("numpy.ndarray"), numbers([0]), old_text(b"b")) + CALL
    kind = name("numpy.dtype") + row(old_text(b"f4"), number(0), number(1)) + CALL
    parts = (number(3), old_text(b"<"), b"NNN", number(-1), number(-1), number(0))
    kind += row(*parts) + STATE
    raw = old_text(array.tobytes("F" if fortran else "C"))
    state = (number(1), numbers(array.shape), kind, b"\x88" if fortran else b"\x89", raw)
    return rebuild + row(*state) + STATE


def npy(content):
    """A .npy file of an array with one object, which `content` unpickles to."""
    rebuild = name("numpy.core.multiarray._reconstruct")
    rebuild += row(name("numpy.ndarray"), numbers([0]), old_text(b"b")) + CALL
    kind = name("numpy.dtype") + row(old_text(b"O8"), number(0), number(1)) + CALL
    parts = (number(3), old_text(b"|"), b"NNN", number(-1), number(-1), number(63))
    kind += row(*parts) + STATE
    state = (number(1), b")", kind, b"\x89", listed(content))
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + program(rebuild + row(*state) + STATE)
