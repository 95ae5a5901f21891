"""A network as a table: output shape, parameters and cost of each layer, and where towers meet."""

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.architectures import get
from alexnet_jax.layer_specs import Conv, Gather, LocallyConnected, Output, Split


def summary(architecture: Architecture | str, image_size: int | None = None) -> str:
    """Return the table as text: layer, output shape, parameters, multiply-accumulates, towers.

    Shapes and counts are for one image and all towers together; multiply-accumulates count the
    products of weights and activations in the forward pass.

    Args:
      architecture: the network, or its name.
      image_size: in pixels; the first of the architecture's sizes if None.

    Raises:
      ValueError: an image size that the network does not take.
    """
    architecture = get(architecture)
    infos = architecture.layer_info(image_size)
    rows = [("layer", "output", "parameters", "multiply-accumulates", "")]
    rows.append(("images", _shape(infos[0].input_shape), "", "", ""))
    for info in infos:
        note = ""
        if architecture.towers > 1 and isinstance(info.spec, Gather) and not info.replicated_in:
            note = "towers meet"
        elif architecture.towers > 1 and isinstance(info.spec, Split) and info.replicated_in:
            note = "towers split"
        elif architecture.towers > 1 and isinstance(info.spec, Output):
            note = "towers are summed"
        elif isinstance(info.spec, Conv) and info.weight_shape:
            note = f"kernels {_shape(info.weight_shape[:3])}"
        elif isinstance(info.spec, LocallyConnected):
            note = f"kernels {info.spec.kernel} x {info.spec.kernel}, others at each pixel"
        elif info.statistics:
            note = f"{info.statistics:,} of them running statistics"
        count, work = (f"{n:,}" if n else "" for n in (info.parameters, info.multiply_accumulates))
        rows.append((info.name, _shape(info.output_shape), count, work, note))
    work = sum(info.multiply_accumulates for info in infos)
    statistics = sum(info.statistics for info in infos)
    note = f"{statistics:,} parameters are not trained" if statistics else ""
    rows.append(("total", "", f"{architecture.parameters:,}", f"{work:,}", note))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in rows
    ]
    rule = "-" * max(map(len, lines))
    towers = "1 tower" if architecture.towers == 1 else f"{architecture.towers} towers"
    title = f"{architecture.name}, {towers}"
    return "\n".join([title, rule, lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))
