"""Streamed data give the run that resident data give, example for example."""

import dataclasses
import functools
import json
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ae_jax as ae
from ae_jax.data import blocks as streaming
from ae_jax.data import order
from ae_jax.data.source import Arrays, Records
from ae_jax.training.feeds import choose_engine
from ae_jax.training.parallel import strategies as parallel
from tests import small

STREAMED = {"engine": "streaming"}


@functools.cache
def trained(engine, devices=1):
    return small.train(devices=devices, steps=30, data={"engine": engine})


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_streamed_run_is_the_resident_run(devices):
    resident, streamed = trained("resident", 1), trained("streaming", devices)
    assert streamed.summary["engine"] == "streaming"
    assert resident.summary["engine"] == "resident"
    assert small.distance(streamed.variables.params, resident.variables.params) <= 1e-5
    for name, value in resident.summary["metrics"]["test"].items():
        assert streamed.summary["metrics"]["test"][name] == pytest.approx(value, rel=1e-4), name
    assert streamed.summary["compiles"] == {"train": 1, "evaluate": 1}


@pytest.mark.parametrize("stop", [10, 20])
def test_a_streamed_run_stopped_within_an_epoch_and_resumed_is_the_same(tmp_path, stop):
    small.train(tmp_path, steps=stop, data=STREAMED)
    resumed = small.train(tmp_path, steps=30, data=STREAMED)
    small.assert_identical(resumed.variables, trained("streaming").variables)


def test_the_engine_may_change_between_starts(tmp_path):
    small.train(tmp_path, steps=10, data={"engine": "resident"})
    resumed = small.train(tmp_path, steps=30, data=STREAMED)
    assert small.distance(resumed.variables.params, trained("resident").variables.params) <= 1e-5


def indices(size, batch_size, devices, processes, start, steps, per_block):
    """The indices that the processes read for each step, in the order of their places."""
    share = devices // processes
    read = []
    for process in range(processes):
        local = tuple(range(process * share, (process + 1) * share))
        shares = streaming.Shares(batch_size, devices, local)
        order = streaming.shuffled(7, start, size, batch_size)
        source = Arrays(np.arange(size, dtype=np.int32)[:, None])
        blocks = streaming.Blocks(source, order, shares, per_block, -(-steps // per_block))
        found = [blocks[i] for i in range(len(blocks))]
        for block in found:
            np.testing.assert_array_equal(block.records.x[..., 0], block.index)
        read.append(np.concatenate([block.index for block in found], axis=1)[:, :steps])
    return np.concatenate(read).transpose(1, 0, 2).reshape(steps, batch_size)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 97),
    share=st.integers(1, 5),
    layout=st.sampled_from([(1, 1), (2, 1), (4, 1), (4, 2)]),
    start=st.integers(0, 400),
    per_block=st.integers(1, 6),
)
def test_every_index_is_read_exactly_once_an_epoch_however_shared_and_resumed(
    size, share, layout, start, per_block
):
    devices, processes = layout
    batch_size = share * devices
    steps = -(-2 * size // batch_size) + 1
    read = indices(size, batch_size, devices, processes, start, steps, per_block).ravel()
    position = start + np.arange(len(read))
    expected = [int(order.order(7, p // size, p % size, size, np)) for p in position]
    np.testing.assert_array_equal(read, expected)
    epoch = -(-start // size) * size - start  # the first whole epoch within
    np.testing.assert_array_equal(np.sort(read[epoch : epoch + size]), np.arange(size))


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 60), share=st.integers(1, 4), devices=st.sampled_from([1, 2, 4]))
def test_evaluation_reads_every_example_once_and_marks_the_padding(size, share, devices):
    batch_size = share * devices
    shares = streaming.Shares(batch_size, devices, tuple(range(devices)))
    batches = -(-size // batch_size)
    order = streaming.sequential(size, batch_size)
    block = streaming.Blocks(Arrays(np.zeros((size, 1))), order, shares, batches, 1)[0]
    flat = lambda leaf: leaf.transpose(1, 0, 2).ravel()
    np.testing.assert_array_equal(flat(block.index)[flat(block.valid)], np.arange(size))
    assert block.valid.sum() == size


class Spoilt:
    """A source whose multiples of seven cannot be read: they come as zeros that do not count."""

    def __init__(self, x):
        self.x = x

    spec = property(lambda self: Arrays(self.x, valid=np.ones(len(self.x), bool)).spec)

    def __len__(self):
        return len(self.x)

    def read(self, index):
        valid = index % 7 != 0
        return Records(np.where(valid[:, None], self.x[index], 0), {}, None, valid)


def spoilt_data() -> ae.data.Dataset:
    x = small.arrays()
    return ae.data.Dataset(Spoilt(x[: small.TRAIN]), Spoilt(x[small.TRAIN :]))


@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_records_that_cannot_be_read_cost_nothing_and_are_counted(devices):
    source = {"source": f"{__name__}:spoilt_data"}
    network = ae.networks.mlp((16,))
    recipe = ae.recipes.autoencoder(2, encoder=network, decoder=network)
    options = {"recipe": recipe, "devices": devices, "steps": 30}
    streamed = small.train(**options, data={**source, **STREAMED})
    resident = small.train(**options, data={**source, "engine": "resident"})
    assert small.distance(streamed.variables.params, resident.variables.params) <= 1e-5
    assert resident.summary["skipped_records"] == -(-small.TRAIN // 7)
    seen = streamed.summary["skipped_records"]
    assert seen >= 30 * small.DEFAULTS["batch_size"] // small.TRAIN * (small.TRAIN // 7)
    test = small.arrays()[small.TRAIN :]
    kept = test[np.arange(small.TEST) % 7 != 0]
    alone = streamed.evaluate(ae.data.Arrays(kept))
    assert streamed.summary["metrics"]["test"] == pytest.approx(alone, rel=1e-5)
    assert streamed.summary["metrics"]["test"] == pytest.approx(
        resident.summary["metrics"]["test"], rel=1e-4
    )


def test_a_value_that_is_not_finite_stops_the_run_and_is_named():
    x = small.arrays()
    dataset = ae.data.Dataset(ae.data.Arrays(x[: small.TRAIN]), ae.data.Arrays(x[small.TRAIN :]))

    @dataclasses.dataclass
    class Late:  # hides the value from the checks of arrays
        whole: Arrays
        spec = property(lambda self: self.whole.spec)
        __len__ = lambda self: len(self.whole)

        def read(self, index):
            found = self.whole.read(index)
            found.x[index == 17, 2] = np.inf
            return found

    shares, order = streaming.Shares(16, 1, (0,)), streaming.shuffled(7, 0, small.TRAIN, 16)
    blocks = streaming.Blocks(Late(dataset.train), order, shares, 4, 1)
    match = r"not finite, the first inf at \(17, 2\)"
    with pytest.raises(ae.errors.DataError, match=f"streamed data .*{match}"):
        next(streaming.iterate(blocks))
    with pytest.raises(ae.errors.DataError, match=f"sampled data .*{match}"):
        ae.fit(
            small.vae(),
            dataset._replace(train=Late(dataset.train)),
            steps=30,
            batch_size=16,
            engine="streaming",
            progress=False,
        )


@pytest.mark.parametrize(
    ("wanted", "budget", "expected"),
    [
        ("auto", 4 * 98 * small.WIDTH, "resident"),
        ("auto", 4 * 98 * small.WIDTH - 1, "streaming"),
        ("resident", 1, "resident"),
        ("streaming", 10**9, "streaming"),
    ],
)
def test_data_stream_if_all_splits_together_exceed_the_budget(wanted, budget, expected):
    splits = small.small_test_data().splits
    assert choose_engine(wanted, splits, budget) == expected


def test_an_unknown_engine_is_refused():
    with pytest.raises(ae.errors.ConfigError, match="'streamed'.*did you mean 'streaming'"):
        choose_engine("streamed", {}, 1)


PROCESS = """
    import json, sys
    import jax
    process, port = int(sys.argv[1]), sys.argv[2]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize(f"localhost:{port}", 2, process)
    import numpy as np
    from ae_jax.data import batches as resident, blocks as streaming
    from ae_jax.data.source import Arrays
    from ae_jax.training import feeds
    from ae_jax.training.parallel import strategies as parallel
    strategy = parallel.pmap(jax.devices())
    size, batch, seed = 61, 12, 7
    source = Arrays(np.arange(size, dtype=np.int32)[:, None])

    # Streaming: each process reads its own share; the devices then show each other what they have.
    blocks = streaming.Blocks(source, streaming.shuffled(seed, 5, size, batch),
                              feeds.shares_of(strategy, batch), 4, 3)
    def read(device, block):
        return strategy.across.gather(block.records.x[..., 0][None])
    program = strategy.compile("read", read, split=(0,))
    ahead = feeds.Ahead(streaming.iterate(blocks), strategy)
    found = [np.asarray(program(block).addressable_data(0)) for block, _ in ahead]
    streamed = np.concatenate([block.transpose(1, 0, 2).reshape(4, -1) for block in found])

    # Resident: each device gathers its places from its own copy.
    def gathered(device, records, seed, start):
        places = device * np.uint32(batch // 4) + np.arange(batch // 4, dtype=np.uint32)
        index = resident.shuffled_index(seed, np.uint32(0), start, places, size)
        return strategy.across.gather(resident.gather(records, index).x[:, 0])
    program = strategy.compile("gather", gathered)
    data = strategy.place((source.records, np.uint32(seed)))
    steps = [strategy.place(np.uint32(5 + batch * i)) for i in range(12)]
    held = [np.asarray(program(*data, start).addressable_data(0)) for start in steps]
    print("FOUND", json.dumps([streamed.tolist(), np.stack(held).tolist()]))
"""


@pytest.mark.slow
def test_two_processes_of_two_devices_read_each_example_once():
    port = small.free_port()
    command = [sys.executable, "-c", textwrap.dedent(PROCESS)]
    running = [
        subprocess.Popen([*command, str(i), port], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    found = [json.loads(text.split("FOUND")[1]) for text in outputs]
    assert found[0] == found[1]
    position = 5 + np.arange(12 * 12)
    expected = [int(order.order(7, p // 61, p % 61, 61, np)) for p in position]
    for engine in found[0]:
        np.testing.assert_array_equal(np.ravel(engine), expected)
    assert sorted(expected[56 : 56 + 61]) == list(range(61))


@pytest.mark.slow
def test_blocks_read_by_worker_processes_are_the_same():
    threads, processes = (
        small.train(steps=20, data={**STREAMED, "workers": workers}) for workers in (0, 2)
    )
    small.assert_identical(processes.variables, threads.variables)


@pytest.mark.parametrize("devices", [1, 2])
def test_split_places_a_row_on_each_device(devices):
    strategy = parallel.pmap(jax.devices()[:devices])
    rows = np.arange(devices * 3).reshape(devices, 3)
    double = strategy.compile("double", lambda device, row: strategy.across.sum(row), split=(0,))
    np.testing.assert_array_equal(double(strategy.split(rows)), rows.sum(0))


MEMORY = """
    import sys
    import numpy as np
    import ae_jax as ae
    from ae_jax.benchmarking.step.machine import anonymous_mib
    data = ae.data.load("npy:" + sys.argv[1])
    recipe = ae.recipes.vae(8, encoder=ae.networks.mlp((32,)), decoder=ae.networks.mlp((32,)))
    peak = []
    run = ae.fit(recipe, data, steps=400, batch_size=256, resident_mib=int(sys.argv[2]),
                 log_every=20, callbacks=[lambda point: peak.append(anonymous_mib())],
                 preprocessing={"name": "scale", "low": 0, "high": 255}, progress=False)
    assert run.summary["engine"] == "streaming"
    print("PEAK", max(peak))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_within_the_budget_and_a_gibibyte(tmp_path):
    budget, file = 64, tmp_path / "images.npy"
    shape = (budget * 10 * 2**20 // (32 * 32 * 3), 32, 32, 3)
    images = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    rng = np.random.default_rng(0)
    for start in range(0, len(images), 20_000):
        piece = images[start : start + 20_000]
        piece[:] = rng.integers(0, 256, piece.shape, np.uint8)
    del images
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(file), str(budget)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout.split("PEAK")[1]) < budget + 1024
