"""Caffe's files of weights and mean images, in both of its formats."""

import dataclasses

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from alexnet_jax.layer_specs import ResponseNorm
from tests.support import other_programs
from tests.support.caffe_files import blob, model
from tests.support.tiny import narrow

WIDTHS = (6, 16, 24, 24, 16, 32, 32, 7)
NETS = {"CAFFE": other_programs.CAFFE, "CAFFENET": other_programs.CAFFENET}


@pytest.fixture(scope="module")
def arrays():
    """Each layer's weights and biases as Caffe has them, for blue, green and red."""
    rng = np.random.default_rng(4)
    return other_programs.weights(rng, WIDTHS, other_programs.GROUPS)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """Replace the published networks by narrow ones of the same layers."""
    for name in NETS:
        net = narrow(getattr(architectures, name)).with_classes(1000)
        monkeypatch.setattr(weights.caffe, name, dataclasses.replace(net, name=name))


def write(tmp_path, proto, name="net.caffemodel"):
    path = tmp_path / name
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(("name", "old"), [("CAFFE", True), ("CAFFENET", False)])
def test_logits_are_those_of_caffe_on_blue_green_red(tmp_path, arrays, rng, name, old):
    mean = rng.uniform(90, 140, (3, 256, 256)).astype(np.float32)
    mean_file = write(tmp_path, blob(mean[None] if old else mean, old), "mean.binaryproto")
    path = write(tmp_path, model(NETS[name], arrays, old))
    params, net, preprocessing = alexnet_jax.load(path, mean=mean_file)
    assert net == getattr(weights.caffe, name).with_classes(7)

    picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    blue_first = picture[..., ::-1].transpose(2, 0, 1) - mean
    x, groups = blue_first[:, 14:241, 14:241], other_programs.GROUPS
    expected = other_programs.logits(NETS[name], arrays, x, groups, other_programs.PADDING)
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    ours = apply(params, preprocessing(picture[None]))[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_old_and_new_fields_hold_the_same(tmp_path, arrays):
    old, new = (
        alexnet_jax.load(write(tmp_path, model(NETS["CAFFE"], arrays, old))) for old in (1, 0)
    )
    assert old[1:] == new[1:]
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), old[0], new[0]))


def test_without_a_mean_image_each_color_has_its_own_mean(tmp_path, arrays, rng):
    path = write(tmp_path, model(NETS["CAFFE"], arrays, old=False))
    _, _, preprocessing = alexnet_jax.load(path)
    assert preprocessing.mean == pytest.approx([122.679, 116.669, 104.007])  # red first
    assert (preprocessing.resize, preprocessing.source_colors) == ("both sides", "BGR")
    image = rng.uniform(0, 255, (3, 256, 256))
    np.save(tmp_path / "mean.npy", image)
    _, _, preprocessing = alexnet_jax.load(path, mean=tmp_path / "mean.npy")
    assert preprocessing.mean[3, 5] == pytest.approx(image[::-1, 3, 5])


def test_constants_of_normalization_and_classes_come_from_the_file(tmp_path, arrays):
    proto = model(NETS["CAFFE"], arrays, old=False)
    norm = next(layer for layer in proto.layer if layer.name == "norm2")
    norm.lrn_param.k, norm.lrn_param.alpha, norm.lrn_param.local_size = 2, 5e-4, 3
    _, net, _ = alexnet_jax.load(write(tmp_path, proto))
    norms = [spec for spec in net.layers if isinstance(spec, ResponseNorm)]
    assert norms == [
        ResponseNorm(5, 1, 1e-4, 0.75, divide_alpha_by_n=True),
        ResponseNorm(3, 2, 5e-4, 0.75, divide_alpha_by_n=True),
    ]
    assert net.classes == 7


def change(name, **fields):
    def apply(proto):
        [layer] = [layer for layer in proto.layer if layer.name == name]
        for field, value in fields.items():
            parameter, _, setting = field.partition("__")
            if setting:
                parameter = getattr(layer, parameter)
                if isinstance(value, list):
                    getattr(parameter, setting)[:] = value
                else:
                    setattr(parameter, setting, value)
            else:
                setattr(layer, field, value)

    return apply


def change_blob(name, number, **fields):
    def apply(proto):
        [layer] = [layer for layer in proto.layer if layer.name == name]
        for field, value in fields.items():
            if field == "shape":
                layer.blobs[number].shape.dim[:] = value
            else:
                del getattr(layer.blobs[number], field)[value:]

    return apply


def remove(name):
    def apply(proto):
        layers = [layer for layer in proto.layer if layer.name != name]
        del proto.layer[:]
        proto.layer.extend(layers)

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("conv3"), "its layers Conv, Relu, .* are not those of CAFFE or CAFFENET"),
        (remove("norm1"), "are not those of CAFFE or CAFFENET"),
        (change("relu4", type="TanH"), "relu4: its type TanH is not supported"),
        (
            change("conv2", convolution_param__pad=[1]),
            r"conv2 has .* padding \(1, 1\), but",
        ),
        (
            change("conv2", convolution_param__pad=[1, 2]),
            "conv2: it is not the same along",
        ),
        (change("conv2", convolution_param__dilation=[2]), "conv2: its kernels are dilated"),
        (change("pool5", pooling_param__pool=1), "pool5: it is not max pooling"),
        (change("pool5", pooling_param__stride=1), "pool5 has size 3, stride 1"),
        (change("fc7", inner_product_param__transpose=True), "fc7: its weights are transposed"),
        (change("relu3", relu_param__negative_slope=0.1), "relu3: it is a leaky ReLU"),
        (change("norm1", lrn_param__norm_region=1), "norm1: it normalizes within maps"),
        (change("norm1", lrn_param__local_size=4), "norm1: .* n must be odd"),
        (
            change_blob("conv2", 0, shape=[16, 6, 5, 5]),
            "conv2: 1200 numbers do not make",
        ),
        (change_blob("conv4", 0, shape=[12, 24, 3, 3]), r"conv4 has weights of \[12, 24, 3, 3\]"),
        (change_blob("fc7", 1, shape=[2**62, 4]), "fc7: its shape .* is not that of an array"),
        (change_blob("fc7", 1, shape=[-1, -32]), "fc7: its shape .* is not that of an array"),
        (change_blob("fc7", 0, data=9), "fc7: 9 numbers do not make an array"),
        (change("fc6", type="Dropout"), "are not those of CAFFE"),
    ],
)
def test_another_net_or_a_damaged_one_is_refused_by_its_layer(tmp_path, arrays, damage, message):
    proto = model(NETS["CAFFE"], arrays, old=False)
    damage(proto)
    path = write(tmp_path, proto)
    with pytest.raises(ValueError, match=f"{path}: .*{message}"):
        alexnet_jax.load(path)


def test_an_image_size_at_which_caffes_pooling_rounds_up_is_refused(tmp_path, arrays):
    path = write(tmp_path, model(NETS["CAFFE"], arrays, old=False))
    net = weights.caffe.CAFFE.with_classes(7)
    params, *_ = alexnet_jax.load(path, architecture=net)
    assert params.keys() == arrays.keys()
    larger = dataclasses.replace(net, image_sizes=(231,))  # 56 pixels before pool1, not 55
    with pytest.raises(ValueError, match="pool1 pools the last of 56 pixels, which CAFFE drops"):
        alexnet_jax.load(path, architecture=larger)


def test_files_without_weights_or_of_other_kinds_are_refused(tmp_path, arrays):
    proto = model(NETS["CAFFE"], arrays, old=True)
    data = proto.SerializeToString()
    path = tmp_path / "net"

    def assert_refused(data, message):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{path}: .*{message}"):
            alexnet_jax.load(path)

    for size in (len(data) // 2, 300):
        assert_refused(data[:size], "cut off in the middle of field 2")
    assert_refused(b"", "it is empty")
    assert_refused(data[:5], "not a file of weights of a known kind, or only the beginning")
    assert_refused(b"name: 'AlexNet'\nlayer {", "not a file of weights of a known kind")
    assert_refused(
        b"\n\x07AlexNet\x12" + b"\xff" * 8 + b"\x7f", "cut off|of weights of a known kind"
    )
    for layer in proto.layers:
        del layer.blobs[:]
    assert_refused(proto.SerializeToString(), "conv1 has no weights and biases")
    proto.layers[1].layer.dim.append(1)
    assert_refused(proto.SerializeToString(), "conv1: it is in Caffe's oldest format")
    mean = blob(np.zeros((1, 3, 8, 8)), old=True).SerializeToString()
    assert_refused(mean, "a mean image, which belongs to Caffe's weights")
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path} is not a mean image"):
        alexnet_jax.load(path, mean=path)
    with pytest.raises(FileNotFoundError):
        alexnet_jax.load(path, mean=tmp_path / "none")
