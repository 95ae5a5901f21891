"""Gradients on every kind of mesh equal those of one device: the table of docs/meshes.md."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import BatchNorm, Dropout
from tests.support.tiny import SMALL

START, END = SMALL.layers[:6], SMALL.layers[6:-1]  # the first ends in conv2
LAYERS = (*START, BatchNorm(), *END, Dropout(), SMALL.layers[-1])
NETS = {towers: Architecture(f"NET_{towers}", 8, towers, LAYERS) for towers in (1, 2)}
BATCH = 8


def make_mesh(sizes, names, kind):
    return jax.make_mesh(sizes, names, axis_types=(kind,) * len(names))


def loss_and_logits(params, images, labels, key, **options):
    logits = alexnet_jax.apply(params, images, dropout_key=key, **options)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), logits


gradient = jax.grad(loss_and_logits, has_aux=True)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(4)
    return jnp.asarray(30 * rng.normal(size=(BATCH, 8, 8, 3)), jnp.float32), jnp.arange(BATCH) % 3


@pytest.fixture(scope="module")
def one_device(batch):
    """Gradients and logits by (towers, whether in training)."""
    params = {towers: alexnet_jax.init(jax.random.key(0), net) for towers, net in NETS.items()}

    @jax.jit  # in one program, which compiles faster than four
    def run(params, images, labels):
        return {
            (towers, train): gradient(
                params[towers],
                images,
                labels,
                jax.random.key(1) if train else None,
                architecture=NETS[towers],
            )
            for towers in NETS
            for train in (True, False)
        }

    return {case: (params[case[0]], result) for case, result in run(params, *batch).items()}


def check(ours, expected):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        # In training the gradient of conv2's biases is 0: batch normalization subtracts them.
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 + 1e-5 * np.abs(other).max())


def place(mesh, params, images, labels, axis):
    whole, divided = NamedSharding(mesh, P()), NamedSharding(mesh, P(axis))
    return (
        jax.device_put(params, whole),
        jax.device_put(images, divided),
        jax.device_put(labels, divided),
    )


@pytest.mark.parametrize("towers", [1, 2])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_arrays_placed_on_any_mesh_by_their_shardings(batch, one_device, kind, towers):
    """Data parallel by `jit` alone: the mesh is not given to `apply`."""
    params, expected = one_device[towers, True]
    mesh = make_mesh((4,), ("batch",), kind)
    placed = place(mesh, params, *batch, "batch")
    with jax.set_mesh(mesh):
        run = jax.jit(partial(gradient, architecture=NETS[towers]))
        check(run(*placed, jax.random.key(1)), expected)


MESHES = {
    "data": ((4,), ("batch",), {"data": "batch"}, (1,)),
    "towers": ((2,), ("model",), {"tower": "model"}, (2,)),
    "both": ((2, 2), ("batch", "model"), {"data": "batch", "tower": "model"}, (2,)),
    "two axes of data": ((2, 2, 2), ("a", "b", "c"), {"data": ("a", "b"), "tower": "c"}, (2,)),
    "dense layers": ((4, 2), ("batch", "model"), {"data": "batch", "dense": "model"}, (2,)),
    "an axis of neither": ((2, 2), ("batch", "spare"), {"data": "batch"}, (2,)),
}


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize(
    ("name", "towers"), [(name, towers) for name, row in MESHES.items() for towers in row[3]]
)
def test_any_mesh_with_the_names_of_its_axes(batch, one_device, name, towers, kind):
    sizes, names, axis_names, _ = MESHES[name]
    params, expected = one_device[towers, True]
    mesh = make_mesh(sizes, names, kind)
    options = {"architecture": NETS[towers], "mesh": mesh, "axis_names": axis_names}
    shardings = alexnet_jax.param_shardings(mesh, NETS[towers], axis_names=axis_names)
    images, labels = (
        jax.device_put(x, alexnet_jax.batch_sharding(mesh, axis_names=axis_names)) for x in batch
    )
    placed = jax.device_put(params, shardings)
    with jax.set_mesh(mesh):
        run = jax.jit(partial(gradient, **options))
        check(run(placed, images, labels, jax.random.key(1)), expected)


@pytest.mark.parametrize(
    ("where", "check_vma", "towers"),
    [(where, check, 2) for where in ("inside", "outside") for check in (True, False)]
    + [("inside", True, 1), ("outside", True, 1)],
)
def test_a_users_own_shard_map_with_the_gradient(batch, one_device, where, check_vma, towers):
    params, expected = one_device[towers, False]
    mesh = make_mesh((4,), ("batch",), AxisType.Auto)
    specs = {"in_specs": (P(), P("batch"), P("batch")), "mesh": mesh, "check_vma": check_vma}
    apply = partial(loss_and_logits, key=None, architecture=NETS[towers])

    def loss(params, images, labels):
        loss, logits = apply(params, images, labels)
        return lax.pmean(loss, "batch"), logits

    @partial(jax.shard_map, **specs, out_specs=(P(), P("batch")))
    def inside(params, images, labels):
        if check_vma:
            return jax.grad(loss, has_aux=True)(params, images, labels)
        gradients, logits = jax.grad(apply, has_aux=True)(params, images, labels)
        return lax.pmean(gradients, "batch"), logits

    outside = jax.grad(jax.shard_map(loss, **specs, out_specs=(P(), P("batch"))), has_aux=True)
    run = {"inside": inside, "outside": outside}[where]
    check(jax.jit(run)(params, *batch), expected)


@pytest.mark.parametrize("towers", [1, 2])
def test_a_users_shard_map_over_parameters(batch, one_device, towers):
    """An ensemble: each device has parameters of its own, and all images."""
    params, _ = one_device[towers, False]
    other = jax.tree.map(lambda x: 1.1 * x, params)
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), params, other)
    mesh, images = make_mesh((2,), ("member",), AxisType.Auto), batch[0]

    def score(params, images):
        return alexnet_jax.apply(params, images, architecture=NETS[towers])[:, 0].sum()

    @partial(jax.shard_map, mesh=mesh, in_specs=(P("member"), P()), out_specs=P())
    def total(stacked, images):
        one = jax.tree.map(lambda x: x[0], stacked)
        return lax.psum(score(one, images), "member")

    ours = jax.jit(jax.grad(total, argnums=(0, 1)))(stacked, images)
    by_hand = jax.jit(jax.grad(score, argnums=(0, 1)))
    by_member = [by_hand(p, images) for p in (params, other)]
    check(ours[0], jax.tree.map(lambda *xs: jnp.stack(xs), *(g for g, _ in by_member)))
    check(ours[1], sum(g for _, g in by_member))


def test_a_gradient_on_a_mesh_is_exported(batch, one_device):
    params, (expected, _) = one_device[2, False]
    mesh = alexnet_jax.make_mesh(4)

    @jax.jit
    def run(params, images, labels):
        return gradient(params, images, labels, None, architecture=NETS[2], mesh=mesh)[0]

    exported = jax.export.export(run)(params, *batch)
    loaded = jax.export.deserialize(exported.serialize())
    check(jax.jit(loaded.call)(params, *place(mesh, {}, *batch, "data")[1:]), expected)


@pytest.mark.parametrize(
    ("axis_names", "message"),
    [
        (None, "axis_names={'data': 'batch'}"),
        ({"data": "rows"}, "the mesh has no axis 'rows', but batch, model"),
        ({"batch": "data"}, "'data', 'tower' and 'dense', not 'batch'"),
        ({"tower": ("batch", "model")}, "one axis divides the towers"),
        ({"tower": "batch", "dense": "model"}, "or the dense layers, not batch, model"),
        ({"data": "batch", "tower": "batch"}, "an axis twice"),
        ("batch", "must be as {'data': 'batch'}, not 'batch'"),
    ],
)
def test_names_that_do_not_fit_the_mesh_are_refused_in_one_sentence(batch, axis_names, message):
    mesh = make_mesh((2, 2), ("batch", "model"), AxisType.Auto)
    params = alexnet_jax.init(jax.random.key(0), NETS[2])
    apply = partial(alexnet_jax.apply, params, batch[0], architecture=NETS[2])
    with pytest.raises(ValueError, match=message):
        apply(mesh=mesh, axis_names=axis_names)
    with pytest.raises(ValueError, match="not given"):
        apply(axis_names={"data": "batch"})
    with pytest.raises(ValueError, match="`mesh` must be a mesh"):
        apply(mesh=2)  # pyright: ignore[reportArgumentType]


def test_a_mesh_of_automatic_and_explicit_axes(batch, one_device):
    params, expected = one_device[2, False]
    names = {"data": "batch", "tower": "model"}
    for kinds in ((AxisType.Auto, AxisType.Explicit), (AxisType.Explicit, AxisType.Auto)):
        mesh = jax.make_mesh((2, 2), ("batch", "model"), axis_types=kinds)
        run = partial(gradient, key=None, architecture=NETS[2], mesh=mesh, axis_names=names)
        with jax.set_mesh(mesh):
            check(jax.jit(run)(params, *batch), expected)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"devices": 0}, "devices must be a whole number above 0, not 0"),
        ({"devices": 2.0}, "devices must be a whole number above 0, not 2.0"),
        ({"devices": "2"}, "devices must be a whole number above 0, not '2'"),
        ({"towers": 0}, "towers must be a whole number above 0, not 0"),
        ({"towers": -1}, "towers must be a whole number above 0, not -1"),
        ({"dense": 0}, "dense must be a whole number above 0, not 0"),
    ],
)
def test_numbers_that_no_mesh_can_have_are_refused_by_name(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        alexnet_jax.make_mesh(**arguments)
