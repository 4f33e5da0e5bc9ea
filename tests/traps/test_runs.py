"""One test for each trap of other libraries' runs, named after it."""

from tests import test_resuming


def test_data_changed_before_a_resume(tmp_path):
    """OpenTau #502: a fingerprint, and an error that says how to go on."""
    test_resuming.test_other_data_are_refused_in_one_line_that_says_how_to_go_on(tmp_path)
