"""Diagrams of every network: the labels of its layers and the links between its towers."""

import dataclasses
import functools
import itertools
from dataclasses import dataclass

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from alexnet_jax import architectures
from alexnet_jax.__main__ import main
from alexnet_jax.layer_specs import Gather, LayerSpec, LocallyConnected, Output, Split
from alexnet_jax.visualize import diagram
from alexnet_jax.visualize.canvas import ACCENT
from tests.support.tiny import TINY

NETS = [*architectures.NETS, architectures.scaled(8, 113), architectures.scaled(16, 75, towers=1)]

DIFFERENT = {"PAPER", "SIX_CONV", "CAFFE", "PHOTOGRAPHS", "CIFAR_11PCT", "SCALED_16_75_ONE_TOWER"}
LYING_DOWN = [net for net in NETS if net.name in DIFFERENT]


cached_figure = functools.cache(diagram.figure)


def texts(figure):
    """Every text of a figure with its position, in inches from the middle and from the top."""
    return [(*text.get_position(), text.get_text()) for text in figure.axes[0].texts]


def dimensions(shape):
    return " × ".join(map(str, shape))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_a_net_is_drawn_layer_below_layer_with_names_and_shapes(net):
    infos, labels = net.layer_info(), texts(cached_figure(net))
    heights = {text: y for x, y, text in labels}
    assert {net.name, "images", dimensions(infos[0].input_shape)} <= set(heights)
    for info in infos:
        row = {text for _, y, text in labels if abs(y - heights[info.name]) < 0.1}
        if info.output_shape != info.input_shape:
            assert dimensions(info.output_shape) in row
        if info.parameters:
            assert f"{info.parameters:,} parameters" in row
        if info.weight_shape and len(info.weight_shape) == 4:
            kernels = dimensions(info.weight_shape[:3])
            if isinstance(info.spec, LocallyConnected):  # height x width x values of one kernel
                kernels = f"{dimensions([info.spec.kernel] * 2)}, others at each pixel"
            assert any(kernels in text for text in row)
            assert any(f"stride {info.spec.stride}" in text for text in row)
    down = [heights[info.name] for info in infos]
    assert down == sorted(down)
    assert len(set(down)) == len(down)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_each_tower_is_a_column_with_its_number_of_maps(net):
    labels = cached_figure(net).axes[0].texts
    heights = {text.get_text(): text.get_position()[1] for text in labels}
    inside = {}  # the numbers inside the blocks, which are centered, by height
    for text in labels:
        if text.get_ha() == "center" and text.get_text() != "+":
            x, y = text.get_position()
            inside.setdefault(y, []).append((x, int(text.get_text())))
    places = [heights[info.name] for info in net.layer_info()]
    assert set(inside) <= set(places)
    columns = {1: [0.0], 2: [-1.275, 1.275]}[net.towers]
    for info, y in zip(net.layer_info(), places):
        if isinstance(info.spec, Output):
            assert inside[y] == [(0, net.classes)]
        elif info.output_shape != info.input_shape:
            share = info.output_shape[-1] // (1 if info.replicated_out else net.towers)
            assert inside[y] == [(x, share) for x in columns]


def crossings(figure):
    """The heights of the red bands that lead from one tower to the other."""
    red = to_rgb(ACCENT)
    bands = [p for p in figure.axes[0].patches if p.get_facecolor()[:3] == red]
    ends = [band.get_xy()[:4] for band in bands]
    assert all(xy[:2, 0].mean() * xy[2:, 0].mean() < 0 for xy in ends)
    return sorted({round(float(xy[:, 1].mean()), 3) for xy in ends})


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_towers_are_joined_where_they_meet_and_where_they_are_summed_and_nowhere_else(net):
    figure = cached_figure(net)
    heights = {text: y for _, y, text in texts(figure)}
    meet = [s for s in net.layer_info() if isinstance(s.spec, Gather)] if net.towers == 2 else []
    links = crossings(figure)
    assert len(links) == len(meet)
    for info, y in zip(meet, links):
        assert abs(heights[info.name] - y) < 0.15
    labels = [text for _, _, text in texts(figure) if text.startswith("the towers")]
    splits = [info for info in net.layer_info() if isinstance(info.spec, Split)]
    assert labels.count("the towers meet") == len(meet)
    assert labels.count("the towers split") == len(splits)
    assert labels.count("the towers are summed") == ("+" in heights) == (net.towers == 2)


@functools.cache
def lying_down(net):
    return diagram.figure(net, horizontal=True)


@pytest.mark.parametrize("net", LYING_DOWN, ids=lambda net: net.name)
def test_a_net_that_lies_down_has_its_blocks_from_left_to_right_with_names_and_shapes(net):
    labels = lying_down(net).axes[0].texts
    columns = {}  # the texts at each distance from the left, from the top down
    for text in sorted(labels, key=lambda text: text.get_position()[1]):
        columns.setdefault(text.get_position()[0], []).append(text.get_text())
    left = {text.get_text(): text.get_position()[0] for text in labels}
    places = [left[info.name] for info in net.layer_info()]
    assert places == sorted(places)
    for info in net.layer_info():
        column = columns[left[info.name]]
        if info.output_shape != info.input_shape:
            assert column[0] == info.name
            assert dimensions(info.output_shape) in " ".join(column)
        if info.parameters and info.name == column[0]:
            assert f"{info.parameters:,}" in column


@pytest.mark.parametrize("net", LYING_DOWN, ids=lambda net: net.name)
def test_texts_of_a_net_that_lies_down_do_not_overlap(net):
    figure = lying_down(net)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
    assert all(figure.bbox.containsx(x) for box in boxes for x in (box.x0, box.x1))
    assert all(figure.bbox.containsy(y) for box in boxes for y in (box.y0, box.y1))


@pytest.mark.parametrize("net", LYING_DOWN, ids=lambda net: net.name)
def test_towers_that_lie_down_are_joined_where_they_meet(net):
    red = to_rgb(ACCENT)
    bands = [p.get_xy() for p in lying_down(net).axes[0].patches if p.get_facecolor()[:3] == red]
    meet = [s for s in net.layer_info() if isinstance(s.spec, Gather)] if net.towers == 2 else []
    assert len(bands) == 2 * len(meet)
    assert all(xy[:2, 1].mean() * xy[2:4, 1].mean() < 0 for xy in bands)  # from tower to tower


def test_a_layer_type_that_the_diagram_does_not_know_is_drawn_by_its_names():
    @dataclass(frozen=True)
    class UnheardOf(LayerSpec):
        name: str = "unheard1"

        def apply(self, params, x):
            return x

    net = dataclasses.replace(TINY, layers=(TINY.layers[0], UnheardOf(), *TINY.layers[1:]))
    assert {"unheard1", "unheard of"} <= {text for _, _, text in texts(diagram.figure(net))}


@pytest.mark.parametrize("ending", [".png", ".svg", ".PDF"])
def test_the_command_draws_into_each_kind_of_file(tmp_path, capsys, ending):
    path = tmp_path / f"net{ending}"
    assert main(["PAPER", "--diagram", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    if ending == ".png":
        with Image.open(path) as picture:
            assert picture.width > 900
            assert len(picture.convert("RGB").getcolors(1_000_000)) > 500
    else:
        assert path.read_bytes().startswith(b"<?xml" if ending == ".svg" else b"%PDF-")


def test_the_command_draws_a_net_that_lies_down(tmp_path):
    path = tmp_path / "net.png"
    assert main(["PAPER", "--diagram", str(path), "--horizontal"]) == 0
    with Image.open(path) as picture:
        assert picture.width > 2 * picture.height


def test_the_size_of_the_images_can_be_chosen():
    labels = {text for _, _, text in texts(diagram.figure(architectures.PAPER, 227))}
    assert "227 × 227 × 3" in labels
    with pytest.raises(ValueError, match="PAPER takes images of 224 x 224 or 227 x 227 pixels"):
        diagram.figure(architectures.PAPER, 200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PAPER", "--diagram", "net.jpg"], "must end in .png, .svg, .pdf; net.jpg does not"),
        (
            ["PAPER", "--diagram", "nowhere/net.png"],
            "there is no folder nowhere to draw net.png into",
        ),
        (["PAPER", "--diagram", "/proc/net.png"], "--diagram /proc/net.png cannot be written"),
        (["PAPER", "--horizontal"], "--horizontal is about a drawing: it needs --diagram FILE"),
        (["PAPER", "--diagram"], "--diagram: expected one argument"),
        (["ALEX", "--diagram", "net.png"], "there is no net named 'ALEX'"),
    ],
)
def test_a_diagram_that_cannot_be_drawn_is_refused_in_one_sentence(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
