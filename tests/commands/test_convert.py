"""python -m alexnet_jax convert, and its messages about files that hold no weights."""

import hashlib

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import weights
from alexnet_jax.__main__ import main
from tests.library.weights.test_torch_files import FILES, NET
from tests.support import pickled
from tests.support.tiny import TINY, draw_params

NAMES = ("a", "b", "c", "d", "e", "f", "g")


@pytest.fixture
def saved(tmp_path):
    """A file of TINY in our own format."""
    path = tmp_path / "saved"
    preprocessing = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=np.ones(3))
    alexnet_jax.save(path, draw_params(TINY), TINY, preprocessing, NAMES)
    return path


def refusal(capsys, *arguments):
    """The message of a command that fails: one sentence."""
    assert main([str(argument) for argument in arguments]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("error: ")
    assert out.err.count("\n") == 1
    return out.err


def test_a_torch_file_is_converted_to_our_format(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(weights.torchvision, "TORCHVISION", NET.with_classes(1000))
    source, target = FILES / "zip.pth", tmp_path / "tiny.safetensors"
    assert main(["convert", str(source), str(target)]) == 0
    first, second, pictures, last = capsys.readouterr().out.splitlines()
    assert first == f"{source}: torchvision's format; none of the files published with a digest"
    assert second == "TORCH_TINY: 1,078 parameters, 5 classes"
    assert pictures == (
        "pictures: shorter side to 27 pixels; the central 27; "
        "RGB x 0.00392157 - mean 0.485, 0.456, 0.406; divided by 0.229, 0.224, 0.225"
    )
    assert last == str(target)
    params, net, preprocessing = alexnet_jax.load(target)
    assert net == NET
    before = alexnet_jax.load(source)
    assert preprocessing == before[2]
    assert (np.asarray(params["fc6"].weights) == np.asarray(before[0]["fc6"].weights)).all()


def test_a_conversion_keeps_the_names_of_classes(saved, tmp_path):
    assert main(["convert", str(saved), str(tmp_path / "other.safetensors")]) == 0
    assert weights.read(tmp_path / "other.safetensors").class_names == NAMES


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
def test_a_published_file_is_named_by_its_digest(saved, tmp_path, capsys, monkeypatch, algorithm):
    digest = hashlib.new(algorithm, saved.read_bytes()).hexdigest()[:8]
    entries = (
        weights.known_files.KnownFile("another's", "saved", algorithm, "00000000"),
        weights.known_files.KnownFile("somebody's", "net.pth", algorithm, digest),
    )
    monkeypatch.setattr(weights.known_files, "KNOWN_FILES", entries)
    assert main(["convert", str(saved), str(tmp_path / "x.safetensors")]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(f"somebody's net.pth, by its published {algorithm.upper()}")


def test_a_file_with_a_published_name_and_other_content_is_reported(saved, tmp_path, capsys):
    saved.rename(tmp_path / "bvlc_alexnet.caffemodel")
    arguments = [str(tmp_path / "bvlc_alexnet.caffemodel"), str(tmp_path / "x.safetensors")]
    assert main(["convert", *arguments]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("not the published file of this name, whose SHA1 begins with 9116a64c")


def test_the_published_digests_are_those_of_the_readmes_and_names():
    digests = {(entry.name, entry.digest[:8]) for entry in weights.known_files.KNOWN_FILES}
    assert digests == {
        ("alexnet-owt-7be5be79.pth", "7be5be79"),
        ("alexnet-owt-4df8aa71.pth", "4df8aa71"),
        ("bvlc_alexnet.caffemodel", "9116a64c"),
        ("bvlc_reference_caffenet.caffemodel", "4c8d77de"),
        ("bvlcalexnet-12.onnx", "6b0da951"),
        ("bvlcalexnet-9.onnx", "ef3c82da"),
        ("bvlcalexnet-8.onnx", "9a4dc22f"),
        ("bvlcalexnet-7.onnx", "d9c9134b"),
        ("caffenet-12.onnx", "ea563e5c"),
        ("imagenet-caffe-alex.mat", "b5152a54"),
        ("imagenet-caffe-alex.mat", "ed49ef44"),
        ("imagenet-caffe-ref.mat", "675dd479"),
        ("imagenet-matconvnet-alex.mat", "0998b7f6"),
    }


def test_published_weights_are_converted_by_their_name(saved, tmp_path, monkeypatch, capsys):
    known, digest = weights.known_files, hashlib.md5(saved.read_bytes()).hexdigest()
    published = known.KnownFile("somebody's", saved.name, "md5", digest)
    monkeypatch.setitem(known.PRETRAINED, "caffe", known.Pretrained(("caffe",), published))
    monkeypatch.setattr(known, "KNOWN_FILES", (published,))
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(tmp_path))
    assert main(["convert", "caffe", str(tmp_path / "x.safetensors")]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"caffe: our own format; somebody's {saved.name}, by its published MD5"


def test_bad_arguments_end_in_one_sentence_and_nothing_is_overwritten(saved, tmp_path, capsys):
    target = tmp_path / "x.safetensors"
    assert "OUT must end in .safetensors" in refusal(capsys, "convert", saved, "x.onnx")
    message = refusal(capsys, "convert", tmp_path / "none", target)
    assert message == f"error: {tmp_path / 'none'} cannot be read: No such file or directory\n"
    assert f"{tmp_path}: it holds no run" in refusal(capsys, "convert", tmp_path, target)
    words = "it holds none of Caffe's weights, to which a mean image belongs"
    mean = tmp_path / "mean.npy"
    np.save(mean, np.zeros((3, 9, 9)))
    assert words in refusal(capsys, "convert", saved, target, "--mean", mean)
    path = tmp_path / "none.npy"
    message = refusal(capsys, "convert", saved, target, "--mean", path)
    assert message == f"error: {path} cannot be read: No such file or directory\n"
    assert "--help explains the arguments" in refusal(capsys, "convert", saved)
    target.write_bytes(b"mine")
    assert f"OUT {target} exists already" in refusal(capsys, "convert", saved, target)
    assert target.read_bytes() == b"mine"


def test_a_hostile_file_ends_the_command_in_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = pickled.name("os.system") + pickled.row(pickled.text("touch MARK")) + pickled.CALL
    path = tmp_path / "evil.pth"
    path.write_bytes(pickled.zipped(pickled.program(call), {}))
    message = refusal(capsys, "convert", path, tmp_path / "x.safetensors")
    advice = "save the state_dict() of the model alone"
    assert message == f"error: {path}: it asks for os.system, which is refused: {advice}\n"
    assert list(tmp_path.iterdir()) == [path]
