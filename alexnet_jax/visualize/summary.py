"""A table of a net: what each layer puts out, holds and costs, and where the towers meet."""

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.layer_specs import Conv, Gather, Output, Part


def summary(architecture: Architecture, image_size: int | None = None) -> str:
    """Return the table as text: layer, output shape, parameters, multiply-accumulates, towers.

    Shapes and counts are for one image and all towers together; multiply-accumulates count the
    products of weights with activities in the forward pass. `image_size` is in pixels.

    Raises ValueError where the net does not take that size.
    """
    steps = architecture.steps(image_size)
    rows = [("layer", "output", "parameters", "multiply-accumulates", "")]
    rows.append(("images", _shape(steps[0].inputs), "", "", ""))
    for step in steps:
        note = ""
        if architecture.towers > 1 and isinstance(step.layer, Gather) and not step.whole_in:
            note = "towers meet"
        elif architecture.towers > 1 and isinstance(step.layer, Part) and step.whole_in:
            note = "towers part"
        elif architecture.towers > 1 and isinstance(step.layer, Output):
            note = "towers are summed"
        elif isinstance(step.layer, Conv) and step.weights:
            note = f"kernels {_shape(step.weights[:3])}"
        elif step.statistics:
            note = f"{step.statistics:,} of them running statistics"
        count, work = (f"{n:,}" if n else "" for n in (step.parameters, step.multiply_accumulates))
        rows.append((step.name, _shape(step.outputs), count, work, note))
    total = sum(step.parameters for step in steps)
    work = sum(step.multiply_accumulates for step in steps)
    statistics = sum(step.statistics for step in steps)
    note = f"{statistics:,} parameters are not trained" if statistics else ""
    rows.append(("total", "", f"{total:,}", f"{work:,}", note))
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
