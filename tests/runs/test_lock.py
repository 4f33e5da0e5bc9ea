"""One process at a time trains in a workdir; what a dead one left behind is taken over."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from etils import epath

import ae_jax as ae
from ae_jax import _workdir as storage
from ae_jax.errors import WorkdirError
from ae_jax.runs import lock, summary
from tests import small


@pytest.fixture
def workdir(tmp_path):
    return epath.Path(tmp_path)


@contextlib.contextmanager
def another_process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate()


def leave(workdir, **fields):
    """A lock as another process would have written it."""
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": 0.0, "beat": time.time()}
    known = {"process_started": lock._process_started(fields.get("pid", os.getpid()))}
    (workdir / lock.FILE).write_text(json.dumps({**holder, **known, "token": "t", **fields}))


def taken(workdir):
    """What is said when the lock is taken, if it can be."""
    said = []
    with lock.held(workdir, said.append):
        assert json.loads((workdir / lock.FILE).read_text())["pid"] == os.getpid()
    assert list(workdir.iterdir()) == []
    return said


def test_the_second_is_refused_in_one_line_and_let_in_afterwards(workdir):
    with (
        lock.held(workdir, print),
        pytest.raises(WorkdirError, match=rf"in use by process {os.getpid()} on .* since") as error,
        lock.held(workdir, print),
    ):
        pass
    assert "\n" not in str(error.value)
    assert taken(workdir) == []


def test_a_living_process_holds_it_and_a_dead_one_does_not(workdir):
    with another_process() as process:
        leave(workdir, pid=process.pid)
        with pytest.raises(WorkdirError, match=f"in use by process {process.pid}"):
            taken(workdir)
    assert taken(workdir) == [
        f"taking over from process {process.pid} on {socket.gethostname()} since "
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(0))}, which has ended without a word"
    ]


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_id_used_again_is_another_process(workdir):
    leave(workdir, process_started="1")
    assert len(taken(workdir)) == 1


@pytest.mark.parametrize(("age", "held"), [(0, True), (200, True), (400, False)])
def test_another_host_holds_it_as_long_as_it_renews_it(workdir, age, held):
    leave(workdir, host="elsewhere", pid=2**22 + 1, beat=time.time() - age)
    if held:
        with pytest.raises(WorkdirError, match="on elsewhere since"):
            taken(workdir)
    else:
        assert "elsewhere" in taken(workdir)[0]


@pytest.mark.parametrize("text", ["", '{"host": ', "[]"])
def test_a_lock_cut_short_counts_from_its_files_time(workdir, text):
    (workdir / lock.FILE).write_text(text)
    with pytest.raises(WorkdirError, match="in use by another process"):
        taken(workdir)
    os.utime(workdir / lock.FILE, (0, 0))
    assert len(taken(workdir)) == 1


def test_it_is_renewed_until_it_is_given_back_or_taken(workdir, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.01)
    beat = lambda: json.loads((workdir / lock.FILE).read_text())["beat"]
    with lock.held(workdir, print):
        first, deadline = beat(), time.monotonic() + 10
        while beat() == first:
            assert time.monotonic() < deadline
        leave(workdir, host="elsewhere", beat=1.0)
        time.sleep(0.1)
        assert beat() == 1.0
    assert beat() == 1.0  # another's lock is left alone


def most_at_once(workdir, threads):
    """How many of several that find a lock left behind hold it at most, and how many got it."""
    leave(workdir, pid=2**22 + 1)
    inside, most, passed = [], [], []

    def run():
        with contextlib.suppress(WorkdirError), lock.held(workdir, lambda line: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()
            passed.append(1)

    started = [threading.Thread(target=run) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return max(most), len(passed)


def test_of_many_at_once_one_gets_it(workdir):
    for _ in range(20):  # with a look and a removal in two steps, one in four went wrong
        most, passed = most_at_once(workdir, 8)
        assert most == 1
        assert passed >= 1


def test_where_files_are_not_local_one_alone_gets_it(workdir, monkeypatch):
    monkeypatch.setattr(storage, "is_local", lambda path: False)
    assert most_at_once(workdir, 1) == (1, 1)


def test_a_run_holds_it_while_it_trains_and_reading_takes_none(workdir):
    seen = []

    def look(point):
        if point.split == "train" and point.step == 20:
            seen.append((workdir / lock.FILE).exists())
            with pytest.raises(WorkdirError, match="in use by process"):
                small.train(workdir)
            deadline = time.monotonic() + 30
            while not small.steps_of(workdir) and time.monotonic() < deadline:
                time.sleep(0.01)
            ae.load(workdir)

    with small.compiled_once():
        small.train(workdir, [look])
    assert seen == [True]
    assert not (workdir / lock.FILE).exists()


@pytest.mark.parametrize("name", [storage.CONFIG, storage.SUMMARY])
@pytest.mark.parametrize("version", [2, 17, "2.0"])
def test_a_file_of_a_newer_ae_jax_is_refused_naming_both_versions(workdir, name, version):
    contents = {"config": {}, "spec": {}, "status": "finished"}
    storage.write_json(workdir / name, contents | {"version": version})
    read = {storage.CONFIG: storage.read_config, storage.SUMMARY: summary.read}[name]
    with pytest.raises(WorkdirError, match=f"{name}' has version {version!r} and .* up to 1: it"):
        read(workdir)
    for known in ({"version": 1}, {}):
        storage.write_json(workdir / name, contents | known)
        assert read(workdir)["status"] == "finished"
