"""One test for each trap of other libraries' runs, named after it."""

import pytest
from etils import epath

from tests.runs import test_lock, test_resuming
from tests.training import test_resume, test_told


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_data_changed_before_a_resume(tmp_path):
    """OpenTau #502: a fingerprint, and an error that says how to go on."""
    test_resuming.test_other_data_are_refused_in_one_line_that_says_how_to_go_on(tmp_path)


def test_two_processes_in_one_workdir(tmp_path):
    """Deepinv #525: a lock, held by host and process, and taken over from the dead."""
    test_lock.test_the_second_is_refused_in_one_line_and_let_in_afterwards(epath.Path(tmp_path))
    test_lock.test_a_living_process_holds_it_and_a_dead_one_does_not(epath.Path(tmp_path))


def test_optimizers_that_need_the_loss_or_an_average_and_do_not_get_it():
    """They would fail in the first step, or be judged at the point where gradients are taken."""
    test_told.test_the_step_of_polyak_is_the_loss_over_the_squared_gradient()
    test_told.test_the_averaged_point_is_the_mean_of_the_iterates()


@pytest.mark.slow  # its test runs in the quick suite beside the part
def test_a_broken_pipe_that_ends_the_run_unsaved(tmp_path, monkeypatch):
    """It ends once it is saved, as on SIGTERM; so do failing callbacks and other signals."""
    test_resume.test_a_broken_pipe_saves_as_sigterm_does(tmp_path / "pipe", monkeypatch)
