"""A training step compiled for TPU slices that need not be there: memory, collectives, roofline."""
