"""How long a dispatch may be: half a second or four steps by choice, five seconds at most."""

import pytest

from ae_jax.training.loop import LONGEST_DISPATCH, next_length


@pytest.mark.parametrize(
    ("length", "steps", "seconds", "limit", "expected"),
    [
        (1, 1, 0.001, None, 4),  # grows four times at most
        (64, 64, 0.25, None, 128),
        (100, 100, 1.0, None, 50),
        (1, 1, 30.0, None, 1),  # never below one step
        (1, 1, 1.0, None, 4),  # four steps may take longer than half a second
        (4, 4, 4.1, None, 4),
        (4, 4, 8.0, None, 2),  # though not longer than five
        (LONGEST_DISPATCH, LONGEST_DISPATCH, 0.01, None, LONGEST_DISPATCH),
        (100, 7, 0.01, None, 100),  # cut short by a log point: tells nothing
        (100, 10, 1.0, None, 5),  # cut short and too long all the same
        (1, 1, 0.001, 3, 3),  # a configured length is the most
        (16, 16, 0.1, 50, 50),
        (50, 50, 5.0, 50, 50),
        (50, 50, 10.0, 50, 25),  # a signal must not wait longer than five seconds
    ],
)
def test_the_next_dispatch_is_as_long_as_this_one_allows(length, steps, seconds, limit, expected):
    assert next_length(length, steps, seconds, limit) == expected


def test_steps_of_any_length_soon_take_half_a_second_or_four_steps_a_dispatch():
    for step_seconds in (1e-5, 1e-3, 0.1, 0.7, 5.0):
        length = 1
        for _ in range(12):
            length = next_length(length, length, length * step_seconds, None)
        wanted = min(max(0.5 / step_seconds, min(4, 5 / step_seconds)), LONGEST_DISPATCH)
        assert length == pytest.approx(wanted, rel=0.1)
