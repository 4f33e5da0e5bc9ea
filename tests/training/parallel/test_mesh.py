"""Which devices of a mesh hold which part of a leaf."""

import pytest

from ae_jax.errors import ConfigError, UnknownNameError
from ae_jax.training.parallel.mesh import mesh_shape, split_dimension


@pytest.mark.parametrize(
    ("shape", "size", "dimension"),
    [
        ((1024, 4096), 16, 1),
        ((4096, 1024), 16, 0),
        ((1024, 1024), 16, 0),  # a 16th of the last dimension is half a tile
        ((1024, 1024), 8, 1),
        ((24, 1024, 4096), 8, 2),
        ((24, 1024, 16, 64), 16, 1),  # an attention's projection, 24 layers of it
        ((3, 3, 256, 512), 16, 2),
        ((2048,), 16, 0),
        ((1024,), 16, None),  # a bias, 64 numbers a device
        ((784, 500), 8, 0),
        ((784, 500), 3, None),
        ((1000, 3), 16, None),
        ((), 4, None),
    ],
)
def test_the_largest_dimension_is_split_that_leaves_a_tile(shape, size, dimension):
    assert split_dimension(shape, size) == dimension


@pytest.mark.parametrize(
    ("devices", "given", "wanted"),
    [
        (1, {}, (1, 1)),
        (8, {}, (1, 8)),
        (12, {}, (1, 12)),
        (64, {}, (4, 16)),
        (256, {"data": None, "fsdp": None}, (16, 16)),
        (8, {"data": 2}, (2, 4)),
        (8, {"fsdp": 2}, (4, 2)),
        (8, {"data": 4, "fsdp": 2}, (4, 2)),
    ],
)
def test_the_shape_of_the_mesh(devices, given, wanted):
    assert tuple(mesh_shape(devices, given).values()) == wanted


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"data": 3, "fsdp": 3},
            "data=3 x fsdp=3, 9 devices, but there are 8; nearest: data=4",
        ),
        ({"fsdp": 16}, "16 devices, but there are 8; nearest: data=1, fsdp=8"),
        ({"fsdp": 3}, "nearest: data=4, fsdp=2"),
        ({"data": 5}, "nearest: data=8, fsdp=1"),
    ],
)
def test_a_mesh_of_another_number_of_devices(given, message):
    with pytest.raises(ConfigError) as caught:
        mesh_shape(8, given)
    assert message in str(caught.value)


def test_an_axis_that_the_mesh_does_not_have():
    with pytest.raises(UnknownNameError, match="no axis 'fsdb'; did you mean 'fsdp'"):
        mesh_shape(8, {"fsdb": 2})
