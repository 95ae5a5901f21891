"""Files that ask for more time or memory than any network needs, and a few hundred damaged ones.

`python -m benchmarks.mutated_weights` reads many more, in processes whose time is watched.
"""

import io
import struct
import zlib

import h5py
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import weights
from tests.support import crafted_files, matconvnet_files, mutations, pickled, weight_files
from tests.support.caffe_files import blob
from tests.support.crafted_files import element
from tests.support.onnx_files import PROTO as ONNX_PROTO
from tests.support.pickled import name, program
from tests.support.protobufs import field

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("bounded", "_awake")


def matlab(*parts):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(parts)


def matlab_array(kind, sides, *parts):
    flags = element(6, struct.pack("<II", kind, 0))
    shape = element(5, np.array(sides, "<i4").tobytes())
    return element(14, flags + shape + element(1, b"layers\0\0") + b"".join(parts))


def caffe_with(sides):
    proto = weight_files.caffe_model(RNG)
    proto.layer[1].blobs[0].shape.dim[:] = sides
    return proto.SerializeToString()


def unpacked(count):
    """A network with numbers each in a field of its own, five bytes for some hundred in memory."""
    proto = weight_files.caffe_model(RNG)
    blob = field(7, (b"\x2d" + bytes(4)) * count)
    return proto.SerializeToString() + field(100, proto.layer[1].SerializeToString() + blob)


def shared(count):
    """A model of which many nodes have the same array, stored number by number."""
    proto = ONNX_PROTO["ModelProto"].FromString(weight_files.FORMATS["ONNX"].write(RNG))
    del proto.graph.node[1:]
    for i in range(count):
        last = proto.graph.node[-1].output[0]
        proto.graph.node.add(op_type="Conv", input=[last, "large", "large"], output=[f"o{i}"])
    tensor = ONNX_PROTO["TensorProto"](name="large", dims=[2**15], data_type=1)
    numbers = (b"\x25" + bytes(4)) * 2**15  # a field for each
    graph = proto.graph.SerializeToString() + field(5, tensor.SerializeToString() + numbers)
    return b"\x08\x03" + field(7, graph)


FILES = {
    "sides whose product is long": (
        matlab(matlab_array(7, [2**31 - 1] * 2**16)),
        "an array of 65,536 axes",
    ),
    "a variable that unpacks to a thousand times its size": (
        matlab(element(15, zlib.compress(bytes(2**27), 9))),
        "unpacks to more than",
    ),
    "field names without a width": (
        matlab(matlab_array(2, [1, 1], element(5, struct.pack("<i", -1)), element(1, b"ab" * 999))),
        "field names of -1 characters",
    ),
    "sides of an array of Caffe's": (caffe_with([2**39] * 60_000), "is not that of an array"),
    "numbers in fields of their own": (unpacked(300_000), "more than 200,000 fields"),
    "an array of many nodes": (shared(2000), r"(its layers|fields and integers)"),
    "a header of safetensors": (
        struct.pack("<Q", 2**23) + b'{"a":[' * 2**20 + bytes(2**21),
        "its header of 8,388,608 bytes is longer",
    ),
    "a header of .npy": (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 9001) + b"-" * 9000 + b"1",
        "its header cannot be read",
    ),
    "a tar whose members have no end": (
        bytearray(pickled.in_a_tar(weight_files.state_dict(RNG))),
        "tar archive with a member without a size",
    ),
}
FILES["a tar whose members have no end"][0][124:136] = b"-7777777777\0"


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_claims_more_than_it_holds_is_refused(tmp_path, case):
    content, message = FILES[case]
    path = tmp_path / "weights"
    path.write_bytes(content)
    assert len(content) < 2**24
    with pytest.raises(ValueError, match=f"{path}(:| is) .*{message}") as caught:
        alexnet_jax.load(path, architecture=weight_files.CAFFE)
    assert len(str(caught.value)) < 450
    assert str(caught.value).isprintable()


def test_a_mean_image_is_never_larger_than_its_file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(weight_files.FORMATS["Caffe"].write(RNG))
    header = {"descr": "<f4", "fortran_order": False, "shape": (3, 2**20, 2**20)}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    claims = blob(np.zeros((3, 2, 2), "f4"), True)
    claims.height = claims.width = 2**20
    for content in (file.getvalue(), claims.SerializeToString(), b""):
        (tmp_path / "mean").write_bytes(content)
        with pytest.raises(ValueError, match="mean is not a mean image"):
            alexnet_jax.load(path, architecture=weight_files.CAFFE, mean=tmp_path / "mean")


@pytest.mark.parametrize("border", [1e9, -1.0, np.nan, np.inf])
def test_a_border_of_matconvnets_is_no_larger_than_a_picture(tmp_path, border):
    arrays = weight_files.arrays(RNG)
    mean = np.zeros((227, 227, 3), "f4")
    mat = matconvnet_files.variables(weight_files.other_programs.CAFFE, arrays, mean, fc6_maps=4)
    mat["normalization"]["border"] = [border, border]
    matconvnet_files.version_5(tmp_path / "net.mat", mat)
    with pytest.raises(ValueError, match=r"net\.mat"):
        alexnet_jax.load(tmp_path / "net.mat", architecture=weight_files.CAFFE)


def test_hdf5_has_no_more_values_than_a_network(tmp_path):
    path = tmp_path / "net.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset("layers", (200, 200), h5py.ref_dtype)
        one = file.create_dataset("one", data=np.zeros((1, 1)))
        cells[:] = one.ref
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    with pytest.raises(ValueError, match="more than 10,000 values, which no network has"):
        alexnet_jax.load(path)


def test_hdf5_has_no_more_chunks_than_a_network(tmp_path):
    path = tmp_path / "net.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("layers", (2**11, 2**11), "f4", chunks=(1, 1))
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    with pytest.raises(ValueError, match="more than 10,000 values, which no network has"):
        alexnet_jax.load(path)


def test_names_from_a_file_cannot_move_the_cursor_or_fill_the_screen(tmp_path):
    path = tmp_path / "weights\x1b[2J"
    for asked in ("os.\x1b[31msystem", f"os.{'x' * 10_885}"):
        path.write_bytes(pickled.zipped(program(name(asked)), {}))
        with pytest.raises(ValueError, match=r"weights\\x1b\[2J: it asks for os\.") as caught:
            alexnet_jax.load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 450


@pytest.fixture(scope="module")
def originals():
    return mutations.Originals(name for name in weight_files.FORMATS if name != "MATLAB 7.3")


def read(folder, name, content, beside):
    """Read a file. It must be read, or refused in a sentence."""
    path, kind = folder / "weights", weight_files.FORMATS[name]
    path.write_bytes(content)
    for other, data in beside.items():
        (folder / other).write_bytes(data)
    try:
        if kind.is_mean:
            weights.caffe.read_mean_image(path)
        else:
            weights.read(path, architecture=kind.net)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - reading may also succeed
        assert len(str(error)) < 450  # noqa: PT017
        assert not isinstance(error.__cause__, MemoryError)  # noqa: PT017
        return False
    return True


@pytest.mark.parametrize("name", [name for name in weight_files.FORMATS if name != "MATLAB 7.3"])
def test_damaged_files_are_read_or_refused(tmp_path, originals, name):
    second = weight_files.FORMATS[name].write_beside
    beside = second(np.random.default_rng(0)) if second else b""
    beside = {weight_files.FORMATS[name].beside or "other": beside}
    assert read(tmp_path, name, originals.files[name], beside)
    outcomes = [
        read(tmp_path, name, originals.mutate(name, np.random.default_rng((5, i))), beside)
        for i in range(20)
    ]
    assert not all(outcomes)  # or nothing was damaged


def test_crafted_files_are_read_or_refused(tmp_path):
    for i in range(60):
        read(tmp_path, *crafted_files.craft(np.random.default_rng((6, i))))
