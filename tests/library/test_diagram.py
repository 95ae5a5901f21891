"""Pictures of nets: every net, what is written in it, and what joins its towers."""

import dataclasses
import functools
from dataclasses import dataclass

import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from alexnet_jax import architectures
from alexnet_jax.__main__ import main
from alexnet_jax.layer_specs import Gather, Output, Split
from alexnet_jax.visualize import diagram
from alexnet_jax.visualize.canvas import ACCENT
from tests.support.tiny import TINY

NETS = [*architectures.NETS, architectures.scaled(8, 113), architectures.scaled(16, 75, towers=1)]


figure_of = functools.cache(diagram.figure)


def texts(figure):
    """Every text of a figure with its place, in inches from the middle and from the top."""
    return [(*text.get_position(), text.get_text()) for text in figure.axes[0].texts]


def dimensions(shape):
    return " × ".join(map(str, shape))


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_a_net_is_drawn_layer_below_layer_with_names_and_shapes(net):
    infos, written = net.layer_info(), texts(figure_of(net))
    heights = {text: y for x, y, text in written}
    assert {net.name, "images", dimensions(infos[0].input_shape)} <= set(heights)
    for info in infos:
        row = {text for _, y, text in written if abs(y - heights[info.name]) < 0.1}
        if info.output_shape != info.input_shape:
            assert dimensions(info.output_shape) in row
        if info.parameters:
            assert f"{info.parameters:,} parameters" in row
        if info.weight_shape and len(info.weight_shape) == 4:
            assert any(dimensions(info.weight_shape[:3]) in text for text in row)
            assert any(f"stride {info.spec.stride}" in text for text in row)
    down = [heights[info.name] for info in infos]
    assert down == sorted(down)
    assert len(set(down)) == len(down)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_each_tower_is_a_column_with_what_it_holds(net):
    written = figure_of(net).axes[0].texts
    heights = {text.get_text(): text.get_position()[1] for text in written}
    inside = {}  # what stands in blocks, which is centered, by its height
    for text in written:
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
    """The heights at which something red leads from one side of the middle to the other."""
    red = to_rgb(ACCENT)
    bands = [p for p in figure.axes[0].patches if p.get_facecolor()[:3] == red]
    ends = [band.get_xy()[:4] for band in bands]
    assert all(xy[:2, 0].mean() * xy[2:, 0].mean() < 0 for xy in ends)
    return sorted({round(float(xy[:, 1].mean()), 3) for xy in ends})


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_towers_are_joined_where_they_meet_and_where_they_are_summed_and_nowhere_else(net):
    figure = figure_of(net)
    heights = {text: y for _, y, text in texts(figure)}
    meet = [s for s in net.layer_info() if isinstance(s.spec, Gather)] if net.towers == 2 else []
    found = crossings(figure)
    assert len(found) == len(meet)
    for info, y in zip(meet, found):
        assert abs(heights[info.name] - y) < 0.15
    said = [text for _, _, text in texts(figure) if text.startswith("the towers")]
    parted = [s for s in net.layer_info() if isinstance(s.spec, Split)]
    assert said.count("the towers meet") == len(meet)
    assert said.count("the towers split") == len(parted)
    assert said.count("the towers are summed") == ("+" in heights) == (net.towers == 2)


def test_a_word_that_the_diagram_does_not_know_is_drawn_by_its_names():
    @dataclass(frozen=True)
    class UnheardOf:
        name: str = "unheard1"

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


def test_the_size_of_the_images_can_be_chosen():
    written = {text for _, _, text in texts(diagram.figure(architectures.PAPER, 227))}
    assert "227 × 227 × 3" in written
    with pytest.raises(ValueError, match="PAPER takes images of 224 x 224 or 227 x 227 pixels"):
        diagram.figure(architectures.PAPER, 200)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["PAPER", "--diagram", "net.jpg"], "must end in .png, .svg, .pdf; net.jpg does not"),
        (
            ["PAPER", "--diagram", "nowhere/net.png"],
            "there is no folder nowhere to draw net.png into",
        ),
        (["PAPER", "--diagram", "/proc/net.png"], "--diagram /proc/net.png cannot be written"),
        (["PAPER", "--diagram"], "--diagram: expected one argument"),
        (["ALEX", "--diagram", "net.png"], "there is no net named 'ALEX'"),
    ],
)
def test_a_diagram_that_cannot_be_drawn_is_refused_in_one_sentence(arguments, words, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.count("\n") == 1
