"""The command-line contract: what each script writes, prints and exits with."""

import math
import random
import re
import signal
import time

import numpy as np
import pytest

import ae_jax as ae
from tests import scripts, small

SMALL = [
    "--config=configs/vae_digits.py:smoke",
    "--config.parallel.devices=1",
    "--config.model.encoder.hidden=(16,)",
    "--config.model.decoder.hidden=(16,)",
    "--config.training.batch_size=32",
]
STEPS, EVERY = 90, 3
LONG = [
    *SMALL,
    f"--config.training.steps={STEPS}",
    f"--config.training.checkpoint_every={EVERY}",
    "--config.evaluation.images=1",
]
FIGURES = {"curves.png", "reconstructions.png", "samples.png"}
FILES = {"config.json", "summary.json", "starts.json", "metrics", "tensorboard", "checkpoints"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir, and what training in it printed, JAX's log of compilations included."""
    workdir = tmp_path_factory.mktemp("run")
    output = scripts.run("train.py", *SMALL, f"--workdir={workdir}", JAX_LOG_COMPILES=1)
    assert "finished at step 30 of 30" in output
    assert "Traceback" not in output
    return workdir, output


@pytest.fixture
def workdir(trained):
    return trained[0]


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_train_writes_the_files_of_the_contract(workdir):
    assert {path.name for path in workdir.iterdir()} == FILES | {"figures"}
    assert {path.name for path in (workdir / "figures").iterdir()} >= FIGURES
    assert all(is_png(path) for path in (workdir / "figures").glob("*.png"))
    summary = scripts.read_json(workdir / "summary.json")
    assert (summary["status"], summary["steps"], summary["restarts"]) == ("finished", 30, 0)
    assert all(map(math.isfinite, summary["metrics"]["test"].values()))
    assert 0 < summary["time_to_first_step_seconds"] < summary["wall_seconds"]
    steps = [point["step"] for point in ae.read_metrics(workdir) if point["split"] == "train"]
    assert steps == [10, 20, 30]
    assert list((workdir / "tensorboard").glob("events.*"))


def test_few_programs_are_compiled(trained):
    """Start-up takes as long as they do: what runs before the training is no loose operations."""
    compiled = re.findall("Finished XLA compilation of ([^ ]+) in", trained[1])
    assert 3 <= len(compiled) <= 16, compiled


def test_the_same_command_again_changes_nothing(workdir):
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    output = scripts.run("train.py", *SMALL, f"--workdir={workdir}")
    assert "already finished at step 30" in output
    after = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    assert after == before


def test_config_json_rebuilds_the_run(workdir):
    config = scripts.read_json(workdir / "config.json")["config"]
    run = ae.load(workdir)
    assert run.config == ae.config.complete(config)
    assert ae.config.to_plain(run.config) == config
    test = ae.data.load("digits").test.x
    assert run.reconstruct(test[:5]).shape == (5, 8, 8, 1)
    # Not bit for bit: this process multiplies in another precision than the script did.
    found, logged = run.evaluate(), run.summary["metrics"]["test"]
    assert found == pytest.approx(logged, rel=1e-3)


@pytest.mark.slow
def test_evaluate_writes_and_prints_its_metrics(workdir):
    output = scripts.run("evaluate.py", f"--workdir={workdir}", "--samples=4")
    found = scripts.read_json(workdir / "evaluation.json")
    assert (found["split"], found["examples"]) == ("test", 364)
    logged = scripts.read_json(workdir / "summary.json")["metrics"]["test"]
    assert logged.items() <= found["metrics"].items()
    bound = found["metrics"]["neg_log_likelihood_k4"]
    assert 0 < logged["neg_elbo"] - bound < 0.2 * abs(logged["neg_elbo"])
    assert all(name in output for name in found["metrics"])
    assert found["latents"]["mutual_information_limit"] == pytest.approx(np.log(364))
    note = found["latents"]["mutual_information_note"]
    assert (note is None) == ("a lower bound" not in output)
    assert set(found["uses"]) == {"reduction", "generation", "imputation", "scarce_labels"}
    assert "pca  " in output
    for name in ("map.png", "nearest.png"):
        assert is_png(workdir / "figures" / name)


def test_sample_writes_pictures_and_arrays(workdir):
    scripts.run("sample.py", f"--workdir={workdir}", "--num=5", "--seed=3")
    folder = workdir / "figures"
    shapes = {}
    for name in ("samples", "interpolations", "traversals"):
        assert is_png(folder / f"{name}.png")
        with np.load(folder / f"{name}.npz") as arrays:
            (values,) = arrays.values()
        shapes[name] = values.shape
        assert np.isfinite(values).all()
        assert values.std() > 0.1
    assert shapes == {
        "samples": (5, 8, 8, 1),
        "interpolations": (64, 8, 8, 1),
        "traversals": (64, 8, 8, 1),
    }


@pytest.mark.slow
def test_a_run_killed_at_a_random_moment_goes_on_to_the_same_end(tmp_path):
    """Checkpoints are written nearly all the time, so most kills fall into one."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = scripts.start("train.py", *LONG, f"--workdir={killed}")
    scripts.wait_for(process, killed / "checkpoints" / str(EVERY))
    pause = random.SystemRandom().uniform(0, 1)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=scripts.LIMIT)
    assert process.returncode == -signal.SIGKILL, f"it ended within {pause} s"
    assert not (killed / "summary.json").exists()
    scripts.run("train.py", *LONG, f"--workdir={killed}")
    scripts.run("train.py", *LONG, f"--workdir={whole}")
    small.assert_identical(small.newest(killed), small.newest(whole))
    assert scripts.read_json(killed / "summary.json")["restarts"] == 1


@pytest.mark.slow
def test_sigterm_exits_143_after_a_checkpoint_and_the_same_command_resumes(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    process = scripts.start("train.py", *LONG, f"--workdir={stopped}")
    scripts.wait_for(process, stopped / "checkpoints" / str(EVERY))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=scripts.LIMIT)
    assert process.returncode == 143, output
    summary = scripts.read_json(stopped / "summary.json")
    assert summary["status"] == "preempted"
    assert small.steps_of(stopped)[-1] == summary["steps"] < STEPS
    assert "Traceback" not in output
    output = scripts.run("train.py", *LONG, f"--workdir={stopped}")
    assert f"resuming at step {summary['steps']}" in output
    scripts.run("train.py", *LONG, f"--workdir={whole}")
    small.assert_identical(small.newest(stopped), small.newest(whole))
    assert scripts.read_json(stopped / "summary.json")["lost_steps"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(2))
def test_a_run_killed_again_and_again_goes_on_to_the_same_end(tmp_path, trial):
    rng = random.Random(trial)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for _ in range(3):
        process = scripts.start("train.py", *LONG, f"--workdir={killed}")
        scripts.wait_for(process, killed / "checkpoints")
        time.sleep(rng.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=scripts.LIMIT)
    scripts.run("train.py", *LONG, f"--workdir={killed}")
    scripts.run("train.py", *LONG, f"--workdir={whole}")
    small.assert_identical(small.newest(killed), small.newest(whole))


MISTAKES = {
    "no flag": ([], "--config"),
    "no such config": (["--config=configs/vae_digit.py"], "did you mean 'configs/vae_digits.py'?"),
    "no such variant": (["--config=configs/vae_digits.py:smok"], "did you mean 'smoke'?"),
    "no such field": (
        [*SMALL, "--config.training.step=5"],
        "training has no field 'step'; did you mean 'steps'",
    ),
    "no such flag": ([*SMALL, "--workdr=x"], "workdr"),
    "a wrong value": ([*SMALL, "--config.training.steps=0"], "training.steps must be a positive"),
    "a wrong type": ([*SMALL, "--config.training.steps=many"], "many"),
    "a stray word": ([*SMALL, "more"], "unexpected argument 'more'"),
}


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(name, marks=[] if name == "no such config" else pytest.mark.slow)
        for name in MISTAKES
    ],
)
def test_bad_usage_exits_2_and_names_the_mistake(tmp_path, mistake):
    arguments, message = MISTAKES[mistake]
    output = scripts.run("train.py", *arguments, f"--workdir={tmp_path / 'run'}", code=2)
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_failures_exit_1_with_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    output = scripts.run("train.py", *SMALL, f"--workdir={tmp_path / 'file'}", code=2)
    assert "is a file; a run is kept in a folder" in output
    assert "Traceback" not in output
    output = scripts.run("train.py", *SMALL, f"--workdir={tmp_path / 'file' / 'a'}", code=1)
    assert "WorkdirError" in output
    assert "Traceback" not in output
    for script in ("evaluate.py", "sample.py"):
        output = scripts.run(script, f"--workdir={tmp_path / 'nowhere'}", code=2)
        assert "MissingFileError" in output
        assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"MPLBACKEND": "module://no_such.backend", "LC_ALL": "C", "JAX_ENABLE_X64": "1"},
        {"MPLBACKEND": "nonsense", "HOME": "", "JAX_DISABLE_JIT": "1"},
    ],
    ids=str,
)
def test_surroundings_that_are_not_ours_do_not_matter(tmp_path, environment):
    workdir = tmp_path / "Autokodierer, früh"
    scripts.run("train.py", *SMALL, f"--workdir={workdir}", **environment)
    assert scripts.read_json(workdir / "summary.json")["status"] == "finished"
    assert is_png(workdir / "figures" / "reconstructions.png")
    scripts.run("evaluate.py", f"--workdir={workdir}", "--metrics=reduction", **environment)


@pytest.mark.slow
def test_a_reader_who_goes_leaves_a_saved_run(tmp_path):
    with scripts.start("train.py", *LONG, f"--workdir={tmp_path}") as process:
        scripts.wait_for(process, tmp_path / "metrics")
        process.stdout.close()
        assert process.wait(timeout=scripts.LIMIT) == 143
    assert scripts.read_json(tmp_path / "summary.json")["status"] == "preempted"
    assert small.steps_of(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae_digits", "autoencoder_digits"])
def test_a_smoke_run_trains_evaluates_and_samples(tmp_path, name):
    config = f"--config=configs/{name}.py:smoke"
    scripts.run("train.py", config, "--config.parallel.devices=1", f"--workdir={tmp_path}")
    scripts.run("evaluate.py", f"--workdir={tmp_path}", "--metrics=reduction")
    output = scripts.run("sample.py", f"--workdir={tmp_path}", "--num=9")
    assert scripts.read_json(tmp_path / "summary.json")["status"] == "finished"
    assert ("no prior" in output) == (name == "autoencoder_digits")
    assert is_png(tmp_path / "figures" / "interpolations.png")


@pytest.mark.slow
def test_compare_puts_runs_side_by_side(workdir, tmp_path):
    files = [f"--json={tmp_path / 'table.json'}", f"--figure={tmp_path / 'samples.png'}"]
    printed = scripts.run("compare.py", workdir, "--num=100", *files)
    assert "frechet_distance" in printed
    table = scripts.read_json(tmp_path / "table.json")["runs"]
    assert set(table) == {str(workdir), "training data"}
    scores = (row["frechet_distance"] for row in table.values())
    perfect, trained = sorted(scores)
    assert perfect == table["training data"]["frechet_distance"] < trained
    assert is_png(tmp_path / "samples.png")


@pytest.mark.slow
def test_a_sampler_is_fitted_once_kept_and_used_again(tmp_path):
    config = "--config=configs/autoencoder_digits.py:smoke"
    scripts.run("train.py", config, "--config.parallel.devices=1", f"--workdir={tmp_path}")
    asked = ("sample.py", f"--workdir={tmp_path}", "--num=10", "--sampler=gaussian_mixture")
    scripts.run(*asked, "--condition=label", "--path=spherical")
    kept = tmp_path / "samplers" / "gaussian_mixture" / "sampler.json"
    assert scripts.read_json(kept)["classes"] == list(range(10))
    before, picture = kept.read_bytes(), tmp_path / "figures" / "samples_gaussian_mixture.png"
    assert is_png(picture)
    picture.unlink()
    scripts.run(*asked)
    assert kept.read_bytes() == before
    assert is_png(picture)
    output = scripts.run(*asked, "--condition=kind", code=2)
    assert "depends on label, not on --condition=kind" in output
    output = scripts.run(*asked[:-1], "--sampler=gausian_mixture", code=2)
    assert "did you mean 'gaussian_mixture'?" in output
