"""What chips and cards can do at most, by their makers' figures."""
