"""A training step timed on this machine, beside the limits that are measured with it."""
