"""Older config.json files, read as what they meant when they were written."""

from collections.abc import Mapping
from typing import Any

OLD_COUNTS = ("negative_binomial", "poisson")
"""The likelihoods of counts that there were before networks read log(1 + x)."""


def of_older(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with what went without saying when it was written said.

    Args:
      config: as config.json holds it.

    Returns:
      The config; likelihoods of counts that name no `view` get "identity" and the mean 1: their
      networks were trained on the counts as they are.
    """

    def said(node):
        if isinstance(node, list):
            return [said(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        node = {key: said(value) for key, value in node.items()}
        old = node.get("name") in OLD_COUNTS and "view" not in node
        return node | {"view": "identity", "mean": 1.0} if old else node

    model = config.get("model", {})
    likelihood = {"likelihood": said(model["likelihood"])} if "likelihood" in model else {}
    return {**config, "model": {**model, **likelihood}}
