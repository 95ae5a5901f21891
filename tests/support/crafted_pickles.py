"""Pickles that are hostile by design, in PyTorch's archives, Toronto's file and cuda-convnet's.

Each function returns a format, the content of the file, and files to put beside it.
"""

import io
import pickle
import struct
import warnings
import zipfile

from tests.support import pickled, weight_files
from tests.support.pickled import name, number, program, row, text

NAMES = ("", "\x1b[2J\x1b[31m", "a\nb", "x" * 70_000, "\u202etxt", "\0", "../../../etc/passwd", "é")
NUMBERS = (-1, 0, 1, 7, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64, 10**50)


def pick(rng, values):
    return values[int(rng.integers(len(values)))]


def nest(rng):
    """Operations that leave a value of some depth on the stack, small in the file."""
    depth = int(2 ** rng.uniform(2, 14))
    match rng.integers(5):
        case 0:  # tuples of two, each twice the same: 2**depth values
            depth = min(depth, 200)
            steps = (b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(depth))
            return b")q\x00" + b"".join(steps)
        case 1:
            return b"N" + b"\x85" * depth
        case 2:
            return b"](" * depth + b"N" + b"e" * depth
        case 3:
            return b"}(K\x01" * depth + b"N" + b"u" * depth
    return b"]q\x00h\x00ah\x00a"  # a list that contains itself


def huge(rng):
    """Operations that leave a large value on the stack, or claim to."""
    count = int(2 ** rng.uniform(8, 19))
    match rng.integers(8):
        case 0:
            return b"\x8b" + struct.pack("<i", count) + bytes(count - 1) + b"\x7f"
        case 1:
            return b"(" + b"N" * count + b"t"
        case 2:
            return b"(" + pick(rng, (b"]", b"}", b"\x8f", b"(", b"G" + bytes(8))) * count + b"l"
        case 3:
            return b"L" + b"9" * min(count, 10_000) + b"L\n"
        case 4:
            return b"\x8d" + struct.pack("<Q", pick(rng, NUMBERS) % 2**64) + b"abc"
        case 5:
            return b"\x95" + struct.pack("<Q", pick(rng, NUMBERS) % 2**64) + b"N"
        case 6:
            return b"X" + struct.pack("<I", count) + b"a" * count
    return b"T" + struct.pack("<i", count) + b"\xff" * count


def repeat(rng):
    """Operations that use one large value again and again."""
    count = int(2 ** rng.uniform(8, 16))
    large = pick(rng, (b"(" + b"N" * count + b"t", text("a" * count), b"](" + b"N" * count + b"e"))
    use = pick(
        rng,
        (
            b"}h\x00Ns0",
            name("torch.Size") + b"h\x00R0",
            name("collections.OrderedDict") + b"(h\x00tR0",
            name("collections.Counter") + b"h\x00R0",
            name("_codecs.encode") + b"(h\x00" + text("latin1") + b"tR0",
            name("torch._utils._rebuild_parameter") + b"h\x00R0",
            b"h\x00Q0",
            b"(h\x00h\x00t0",
        ),
    )
    return large + b"q\x00" + use * count + b"0N"


def value(rng):
    return pick(rng, (nest, huge, repeat, lambda rng: number(pick(rng, NUMBERS))))(rng)


def key(rng):
    return value(rng) if rng.random() < 0.5 else text(pick(rng, NAMES))


def torch_file(rng):
    """A state_dict with one hostile part, in any of the three formats."""
    tensors = weight_files.state_dict(rng)
    pairs = []
    for i, (tensor_name, array) in enumerate(tensors.items()):
        good = pickled.tensor(pickled.storage(str(i), array.size), array.shape)
        pairs.append([text(tensor_name), good])
    i = int(rng.integers(len(pairs)))
    storage = pickled.storage(str(i), 1)
    match rng.integers(9):
        case 0:
            pairs.append([key(rng), pick(rng, (b"N", pairs[0][1]))])
        case 1:
            pairs[i][1] = value(rng)
        case 2:
            parts = [storage, number(0), pickled.numbers([1]), pickled.numbers([1]), b"\x89", b"N"]
            parts[int(rng.integers(6))] = value(rng)
            pairs[i][1] = name("torch._utils._rebuild_tensor_v2") + row(*parts) + pickled.CALL
        case 3:
            shape = [pick(rng, NUMBERS) for _ in range(int(rng.integers(1, 9)))]
            pairs[i][1] = pickled.tensor(storage, shape, [pick(rng, NUMBERS) for _ in shape])
        case 4:
            parts = [text("storage"), name("torch.FloatStorage"), text("0"), text("cpu"), b"K\x01"]
            parts[int(rng.integers(5))] = value(rng)
            pairs[i][1] = pickled.tensor(row(*parts) + pickled.OUTSIDE, [1])
        case 5:
            asked = name(f"{pick(rng, NAMES[1:4])}.{pick(rng, NAMES[1:4])}".replace("\n", ""))
            pairs[i][1] = asked + row() + pickled.CALL
        case 6:
            pairs = [[text(f"t{j}"), pairs[0][1]] for j in range(int(2 ** rng.uniform(4, 12)))]
        case 7:
            path = "module." * int(2 ** rng.uniform(0, 12))
            pairs = [[text(path) + text("")[:0], pickled.dictionary([tuple(p) for p in pairs])]]
        case 8:
            inner = pickled.dictionary([tuple(p) for p in pairs]) + b"q\x00"
            pairs = [[text(f"copy{j}"), inner if not j else b"h\x00"] for j in range(3)]
            pairs.append([text("other"), pickled.dictionary([tuple(p) for p in pairs[:1]])])
    content = program(pickled.dictionary([tuple(pair) for pair in pairs]))
    match rng.integers(3):
        case 0:
            return "torch sequence", pickled.in_a_row(content, tensors), {}
        case 1:
            return "torch tar", pickled.in_a_tar(tensors, content=content), {}
    return "torch zip", pickled.zipped(content, tensors), {}


def zip_file(rng):
    """An archive with too many, compressed, overlapping or misnamed members."""
    tensors = weight_files.state_dict(rng)
    content = pickled.state_dict(tensors)
    kind = rng.integers(4)
    if kind == 0:
        return "torch zip", pickled.zipped(content, tensors, zipfile.ZIP_DEFLATED), {}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        archive.writestr("archive/data.pkl", content)
        for i in range(int(2 ** rng.uniform(4, 15)) if kind == 1 else 0):
            archive.writestr(f"archive/data/{i}", b"")
        for i, array in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{i if kind == 2 else pick(rng, NAMES)[:99]}", array)
    data = bytearray(file.getvalue())
    if kind == 2:  # all entries of the directory refer to one member
        at = 0
        while (at := data.find(b"PK\x01\x02", at + 1)) > 0:
            data[at + 42 : at + 46] = struct.pack("<I", pick(rng, NUMBERS) % 2**32)
            data[at + 20 : at + 28] = struct.pack("<II", *[pick(rng, NUMBERS) % 2**32] * 2)
    return "torch zip", bytes(data), {}


def tar_file(rng):
    """An archive whose members have sizes, counts or numbers that are not so."""
    data = bytearray(pickled.in_a_tar(weight_files.state_dict(rng)))
    for _ in range(3):
        member = pick(rng, (b"sys_info", b"pickle", b"tensors", b"storages"))
        at = data.find(member + b"\0")
        if at < 0:
            break
        if rng.random() < 0.5:
            data[at + 124 : at + 136] = pick(
                rng, (b"77777777777\0", b"-0000000777\0", b"\x80" + b"\xff" * 11, b"abc".ljust(12))
            )
        else:
            data[at + 512 : at + 516] = pickle.dumps(pick(rng, NUMBERS), 2)[:4]
    return "torch tar", bytes(data), {}


def numpy_pickle(rng):
    """Toronto's or cuda-convnet's pickle with a hostile layer, array or setting."""
    parts = [number(1), pickled.numbers([1]), None, b"\x89", pickled.old_text(b"abcd")]
    kind = [pickled.old_text(b"f4"), number(0), number(1)]
    order = [number(3), pickled.old_text(b"<"), b"NNN", number(-1), number(-1), number(0)]
    hostile = pick(rng, (parts, kind, order))
    at = int(rng.integers(len(hostile)))
    hostile[at] = value(rng) if hostile[at] is not None else None
    dtype = name("numpy.dtype") + row(*kind) + pickled.CALL + row(*order) + pickled.STATE
    parts[2] = parts[2] or dtype
    array = name("numpy.core.multiarray._reconstruct") + row() + pickled.CALL + row(*parts)
    array += pickled.STATE
    if rng.random() < 0.5:
        layer = pickled.listed(array, array)
        pairs = [(key(rng), layer), (text("conv1"), pick(rng, (layer, value(rng))))]
        return "Toronto, Python 2", pickled.npy(pickled.dictionary(pairs)), {}
    fields = "name type inputs filterSize stride imgSize padding modulesX weights biases keep pool"
    layer = {"name": text("conv1"), "type": text(pick(rng, ("conv", "fc", "pool", "dropout")))}
    for setting in fields.split():
        if rng.random() < 0.4:
            layer[setting] = pick(rng, (value(rng), pickled.listed(value(rng)), array))
    one = pickled.dictionary((text(k), v) for k, v in layer.items())
    count = int(2 ** rng.uniform(0, 14))
    layers = one + b"q\x07" + b"](h\x07" + b"h\x07" * count + b"e"
    model_state = pickled.dictionary([(text("layers"), layers + b"q\x08\x86"[:2])])
    content = program(pickled.dictionary([(text("model_state"), model_state)]))
    return "cuda-convnet", content, {}
