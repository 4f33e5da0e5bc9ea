"""Strategies, processes and members: the only folder with collectives and device placement."""
