"""Training programs lowered from a config alone."""

import sys

import jax
import jax.numpy as jnp
import pytest

import ae_jax as ae
from ae_jax.benchmarking.hardware.chips import slice_of
from ae_jax.benchmarking.pods import programs
from ae_jax.benchmarking.program import compiled
from ae_jax.errors import MissingFileError
from tests import fast, small

FOUR = jax.devices()[:4]


@ae.term(batch_coupled=True)
def centred(outputs, context):
    """A term that reduces two latents over the global batch."""
    return jnp.sum(context.mean(outputs.posterior.mean) ** 2)


@pytest.mark.parametrize(
    ("engine", "accumulation"),
    [
        ("streaming", 1),
        pytest.param("resident", 1, marks=pytest.mark.slow),
        pytest.param("resident", 2, marks=pytest.mark.slow),
        pytest.param("streaming", 2, marks=pytest.mark.slow),
    ],
)
def test_a_compiled_data_parallel_step_moves_what_it_declares_and_no_more(engine, accumulation):
    pod, data = {"batch_per_chip": 4}, {"engine": engine}
    config = small.config(data=data, batch_size=8, pod=pod, accumulation=accumulation)
    made = programs.training(config, FOUR, "shard_map")
    assert (made.engine, made.share, made.batch_size) == (engine, 4, 16)
    weights = (6 * 16 + 16) + (16 * 4 + 4) + (2 * 16 + 16) + (16 * 6 + 6)
    declared = programs.declared_collectives(made)
    metrics = len(programs.metric_names(made.plan.players)) - 2  # norm and skipped are no means
    assert declared == {"all-reduce": 4 * (weights + metrics)}
    work = compiled.work(made.lower().compile(compiler_options=fast.options()).as_text())
    assert {c.kind for c in work.collectives} == {"all-reduce"}
    assert sum(c.times * c.payload for c in work.collectives) == declared["all-reduce"]
    assert work.flops == programs.model_flops(config, 4).total


def test_what_a_term_reduces_is_declared_too():
    plain = programs.training(small.config(), FOUR, "pmap")
    player = plain.plan.players[0]
    player = player._replace(objective=player.objective + centred())
    coupled = plain._replace(plan=plain.plan._replace(players=(player,)))
    without, found = map(programs.declared_collectives, (plain, coupled))
    # the mean of two latents, its gradient, and the count and metric that go with them
    assert 4 * (2 + 2 + 1) <= found["all-reduce"] - without["all-reduce"] <= 4 * (2 + 2 + 1 + 3)


def test_state_is_split_into_equal_parts_under_fsdp():
    network = ae.networks.mlp((2048,))
    recipe = ae.recipes.autoencoder(
        256, encoder=network, decoder=network, likelihood=ae.likelihoods.gaussian()
    )
    config = small.config(recipe, parallel={"strategy": "fsdp", "mesh": {"data": 2, "fsdp": 2}})
    made = programs.training(config, FOUR)
    assert dict(made.strategy.mesh.shape) == {"data": 2, "fsdp": 2}
    whole, part = programs.nbytes(made.state), programs.shard_nbytes(made.arguments[0])
    assert 1 <= part / (whole / 2) < 1.05  # thin first and last layers stay whole
    assert programs.declared_collectives(made) == {}
    other = programs.training(config, FOUR, "pmap")  # the mesh is for the config's own strategy
    assert programs.shard_nbytes(other.arguments[0]) == whole


def test_a_batch_may_be_larger_than_a_small_data_set():
    made = programs.training(small.config(batch_size=32), jax.devices())
    assert made.batch_size == 32 * 8 > small.TRAIN


def test_model_flops_leave_out_what_is_computed_again():
    flops = []
    for remat in (False, True):
        encoder = ae.networks.vit(patch=2, width=16, depth=2, heads=2, remat=remat)
        recipe = ae.recipes.autoencoder(4, encoder=encoder, decoder=ae.networks.mlp((8,)))
        config = ae.config.for_recipe(recipe)
        config["data"] |= {"source": "synthetic:8x8x1"}
        flops.append(programs.model_flops(config, 4))
    assert flops[0] == flops[1]
    assert flops[0].total > 0


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(MissingFileError, match=r'pip install -e "\.\[tpu-compile\]"'):
        programs.devices_of(slice_of("v5e:4x4"))
