"""The comparison with other programs: that all train the same model, and who is refused."""

import itertools
import json

import jax
import numpy as np
import pytest
from peers import admission, jax_loop, ours, runner, table, worker, workloads
from peers.trainer import PRECISIONS, Job

import ae_jax as ae
from ae_jax.errors import ConfigError, MissingFileError, UnknownNameError
from tests import small

NAMES = tuple(workloads.WORKLOADS)
LONGER = ("conv_vae", "resnet_vae", "transformer")  # to compile
SHORTER = tuple(name for name in NAMES if name != "resnet_vae")


def quick(names):
    return [pytest.param(n, marks=pytest.mark.slow) if n in LONGER else n for n in names]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A workload's prepared folder and its Admission, made at first use."""
    made = {}

    def folder(name):
        if name not in made:
            path = tmp_path_factory.mktemp(name)
            made[name] = path, admission.prepare(name, "smoke", path)
        return made[name]

    return folder


def claim_of(path, name, peer, variant, regime="device", precision="float32"):
    job = Job("timing", name, "smoke", str(path), peer, variant, regime, precision=precision)
    trainer = table.builder(table.find(peer))(job)
    claim = admission.Claim(
        trainer.replay(admission.read(path)), trainer.parameters, trainer.optimizer
    )
    trainer.close()
    return claim


# --- the tables ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_has_both_sizes_and_a_batch_fits_its_data(name):
    row = workloads.WORKLOADS[name]
    assert row.name == name
    assert set(row.sizes) == {"full", "smoke"}
    for sizes in row.sizes.values():
        assert sizes.batch_size * 4 <= sizes.train
    source, arguments = row.source("smoke")
    dataset = ae.data.load(source, **arguments)
    sizes = row.sizes["smoke"]
    assert dataset.train.spec.x.shape == sizes.shape
    assert (len(dataset.train), len(dataset.test)) == (sizes.train, sizes.test)


def test_the_work_of_a_step_is_that_of_its_matrix_products():
    # Forward, and both gradients but for that of the first layer's input; 2 operations each.
    hidden, latent, pixels, batch = 500, 20, 784, 128
    forward = pixels * hidden + hidden * 2 * latent + latent * hidden + hidden * pixels
    expected = 2 * batch * (3 * forward - pixels * hidden)
    assert workloads.flops_per_step("vae", "full") == expected
    k = workloads.flops_per_step("topk", "full")
    assert k == 2 * 4096 * 768 * 24_576 * (1 + 1 + 1 + 2)


def test_every_peer_has_an_order_to_tune_in_and_no_gpu_variant_runs_on_a_cpu():
    for peer in table.PEERS.values():
        assert peer.best
        assert set(peer.settings) <= {"one", "best"}
        for name in NAMES:
            assert not any(v.needs_gpu for v in peer.variants_for(name, gpu=False))
    names = lambda workload: {v.name for v in table.find("torch").variants_for(workload, False)}
    assert "channels_last" in names("conv_vae") - names("vae")
    assert table.find("pythae").variants_for("topk", False) == []


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'topk'"):
        workloads.find("topkk", "smoke")
    with pytest.raises(UnknownNameError, match="did you mean 'smoke'"):
        workloads.find("vae", "smok")
    with pytest.raises(UnknownNameError, match="did you mean 'torch'"):
        table.find("torhc")
    with pytest.raises(UnknownNameError, match="did you mean 'eager'"):
        table.find("torch").variant("eagre")
    with pytest.raises(UnknownNameError, match="did you mean 'timing'"):
        worker.parse(["--mode=timin"])


# --- admission -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", quick(SHORTER))
def test_the_file_holds_the_losses_of_fit_itself(name, folders, tmp_path):
    path, expected = folders(name)
    row, sizes = workloads.find(name, "smoke")
    config = ours.config(row, sizes, path)
    config["training"] |= {"steps": admission.STEPS, "log_every": 1}
    seen = []

    def collect(point):
        if point.split == "train":
            seen.append(point.metrics["loss"])

    small.fit_quietly(config, callbacks=[collect])
    np.testing.assert_allclose(seen, expected.losses, rtol=1e-5)


def test_the_file_comes_back_as_it_was_written(folders):
    path, expected = folders("vae")
    held = admission.read(path)
    for name in ("batches", "noise", "losses"):
        np.testing.assert_array_equal(getattr(held, name), getattr(expected, name))
    assert held.params.keys() == expected.params.keys()
    assert held[4:] == expected[4:]
    assert held.parameters == 30 * 16 + 16 + 16 * 6 + 6 + 3 * 16 + 16 + 16 * 30 + 30


def test_the_noise_is_that_of_the_forward_pass(folders):
    _, expected = folders("vae")
    row, sizes = workloads.find("vae", "smoke")
    spec = ae.types.Spec(sizes.shape, "real")
    model, _ = row.recipe(sizes).build(spec)
    variables = ae.Variables(admission.nested(expected.params), {})
    x = expected.batches[0].astype(np.float32) / row.scale
    places = np.arange(len(x), dtype=np.uint32)
    keys = ae.keys.for_examples(jax.random.key(0), 0, places)
    outputs, _ = model.forward(variables, ae.types.Batch(x), keys, train=True)
    q = outputs.posterior
    z = q.loc + np.exp(0.5 * q.log_var) * expected.noise[0]
    np.testing.assert_allclose(outputs.z[:, 0], z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "regime"),
    [
        pytest.param(*case, marks=pytest.mark.slow if case[0] in LONGER else ())
        for case in [*itertools.product(SHORTER, runner.REGIMES), ("resnet_vae", "device")]
    ],
)
def test_the_librarys_own_loop_is_admitted(name, regime, folders):
    path, expected = folders(name)
    claim = claim_of(path, name, "ae_jax", "library", regime)
    assert admission.refusals(claim, expected) == []


@pytest.mark.parametrize("name", quick(SHORTER))
def test_the_plain_loop_is_admitted(name, folders):
    path, expected = folders(name)
    claim = claim_of(path, name, "jax_loop", "plain")
    assert admission.refusals(claim, expected) == []
    np.testing.assert_allclose(claim.losses, expected.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"learning_rate": 2e-3}, "the loss of step 1 "),
        ({"scale": 256.0}, "the loss of step 0 "),
    ],
)
def test_another_program_is_refused(change, reason, folders, monkeypatch):
    path, expected = folders("vae")
    other = workloads.WORKLOADS["vae"]._replace(**change)
    monkeypatch.setitem(workloads.WORKLOADS, "vae", other)
    claim = claim_of(path, "vae", "jax_loop", "plain")
    found = admission.refusals(claim, expected)
    assert any(text.startswith(reason) for text in found)
    if "learning_rate" in change:
        assert "optimizer's learning_rate: 0.002, not 0.001" in found


def test_every_difference_is_named():
    optimizer = {"name": "adam", "learning_rate": 1e-3}
    losses = np.full(10, 2.0)
    expected = admission.Admission({}, losses, losses, losses, 7, optimizer)
    same = admission.Claim([2.0] * 10, 7, optimizer)
    assert admission.refusals(same, expected) == []
    assert admission.refusals(same._replace(losses=[2.0001] * 10), expected) == []
    for change, reason in (
        ({"losses": [2.0] * 9 + [2.001]}, "the loss of step 9 is 2.001, not 2"),
        ({"losses": [float("nan")] * 10}, "the loss of step 0 is nan"),
        ({"losses": [2.0] * 9}, "9 losses, not 10"),
        ({"parameters": 8}, "parameters: 8, not 7"),
        ({"optimizer": {"name": "adamw", "learning_rate": 1e-3}}, "optimizer's name: 'adamw'"),
        ({"reduction": "sum"}, "reduction: 'sum'"),
    ):
        (found,) = admission.refusals(same._replace(**change), expected)
        assert found.startswith(reason)


def test_without_a_file_the_message_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingFileError, match="--mode=prepare"):
        admission.read(tmp_path)


# --- PyTorch, where it is installed ----------------------------------------------------------


@pytest.mark.parametrize("variant", ["eager", "fused_adam"])
@pytest.mark.parametrize("name", quick(NAMES))
def test_torch_is_admitted(name, variant, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    claim = claim_of(path, name, "torch", variant)
    assert admission.refusals(claim, expected) == []


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("conv_vae", "channels_last"),
        pytest.param("resnet_vae", "channels_last", marks=pytest.mark.slow),
        ("topk", "sparse_decoder"),
    ],
)
def test_torch_variants_of_one_workload_are_admitted(name, variant, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "torch", variant), expected) == []


def test_in_bfloat16_only_peers_that_compute_in_it_take_part(tmp_path):
    path = tmp_path / "vae"
    expected = admission.prepare("vae", "smoke", path, precision="bfloat16")
    exact = admission.prepare("vae", "smoke", tmp_path / "exact")
    error = np.abs(expected.losses / exact.losses - 1).max()
    assert 1e-6 < error < 1e-3
    halves = [p.name for p in table.PEERS.values() if p.variants_for("vae", False, "bfloat16")]
    assert halves == ["ae_jax", "torch"]
    pytest.importorskip("torch")
    half, whole = (
        claim_of(path, "vae", "torch", "eager", precision=name) for name in ("bfloat16", "float32")
    )
    assert admission.refusals(half, expected, PRECISIONS["bfloat16"].tolerance) == []
    assert np.abs(np.divide(half.losses, whole.losses) - 1).max() > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant"), [*((name, "eager") for name in NAMES), ("topk", "sparse_decoder")]
)
def test_torch_in_bfloat16_is_admitted(name, variant, tmp_path):
    pytest.importorskip("torch")
    expected = admission.prepare(name, "smoke", tmp_path, precision="bfloat16")
    claim = claim_of(tmp_path, name, "torch", variant, precision="bfloat16")
    assert admission.refusals(claim, expected, PRECISIONS["bfloat16"].tolerance) == []


@pytest.mark.parametrize("flags", ["--workload=vae --precision=bfloat16", "--workload=resnet_vae"])
def test_a_worker_refuses_what_its_peer_has_not(flags):
    with pytest.raises(ConfigError, match="'jax_loop' has no '(vae|resnet_vae)' in"):
        worker.parse(["--peer=jax_loop", "--variant=plain", *flags.split()])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_torch_compiled_is_admitted(name, folders):
    pytest.importorskip("torch")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "torch", "compile"), expected) == []


@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_pythae_is_admitted(name, folders):
    pytest.importorskip("pythae")
    path, expected = folders(name)
    assert admission.refusals(claim_of(path, name, "pythae", "trainer"), expected) == []


# --- measuring -------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", runner.REGIMES)
def test_the_plain_loop_takes_the_steps_it_says(regime, folders):
    path, _ = folders("vae")
    job = Job(workload="vae", folder=str(path), regime=regime, steps_per_call=3)
    made = jax_loop.build(job)
    taken = [made.advance() for _ in range(4)]
    assert taken == {"host": [3, 3, 3, 3], "device": [3, 3, 2, 3]}[regime]  # of 8 in an epoch
    assert np.isfinite(made.evaluate())


def test_a_timing_holds_every_sample_and_what_follows_from_them(folders):
    path, _ = folders("vae")
    job = Job(workload="vae", folder=str(path), peer="jax_loop", variant="plain", seconds=0.05)
    found = worker.timing(job)
    per_step = [spent / steps for spent, steps in found["samples"]]
    assert len(per_step) >= worker.SHORTEST
    assert found["step_seconds"] == pytest.approx(np.median(per_step))
    assert found["examples_per_second"] == pytest.approx(8 / np.median(per_step))
    assert found["optimizer"] == workloads.WORKLOADS["vae"].optimizer
    json.dumps(found)


def test_a_curve_has_a_point_an_epoch_and_the_first_that_reaches_the_target_counts(folders):
    path, _ = folders("vae")
    job = Job(
        workload="vae",
        folder=str(path),
        peer="jax_loop",
        variant="plain",
        steps_per_call=0,
        epochs=3,
        target=1e9,
    )
    found = worker.elbo(job)
    epochs, seconds, nats = zip(*found["points"], strict=True)
    assert epochs == (1, 2, 3)
    assert list(seconds) == sorted(seconds)
    assert found["seconds_to_target"] == seconds[0]
    assert nats[-1] < nats[0]
    assert worker.elbo(job._replace(target=0.0))["seconds_to_target"] is None
