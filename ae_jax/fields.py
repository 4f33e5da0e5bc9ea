"""What a config may hold: every field with its default and kind, and what a restart may change."""

from typing import Any

VERSION = 1
PARTS = ("encoder", "decoder", "bottleneck", "likelihood")
CUSTOM = "custom"
"""Stands in config.json for a part that was passed as a Python object and has no config form."""

DEFAULTS: dict[str, Any] = {
    "data": {
        "source": "digits",
        "arguments": {},
        "test_fraction": None,
        "validation_fraction": None,
        "preprocessing": None,
        "engine": "auto",
        "resident_mib": 1024,
        "workers": 0,
        "spec": {},
        "stand_in": {},
    },
    "model": dict.fromkeys(PARTS),
    "objective": {},
    "corruption": None,
    "optimizer": {
        "name": "adam",
        "learning_rate": 1e-3,
        "base_batch_size": None,
        "schedule": "constant",
        "warmup_steps": 0,
        "restart": None,
        "clip_norm": None,
        "arguments": {},
    },
    "training": {
        "seed": 0,
        "steps": 5000,
        "batch_size": 128,
        "accumulation": 1,
        "compute_dtype": "float32",
        "average_decay": None,
        "steps_per_dispatch": None,
        "log_every": 100,
        "eval_every": 1000,
        "checkpoint_every": 1000,
        "keep_checkpoints": 2,
        "max_skipped_in_a_row": 20,
        "deterministic": False,
        "init_from": None,
        "init_parts": [],
        "accept_new_data": False,
    },
    "parallel": {"strategy": "pmap", "devices": None, "mesh": {"data": None, "fsdp": None}},
    "evaluation": {"batch_size": None, "images": 16},
    "pod": {"batch_per_chip": None, "strategies": ["pmap"]},
}
"""Every field with its default; None is "chosen" or "none" unless said otherwise.

- `data.arguments` are those of the source, `data.stand_in` the fields of another data set, for the
  smoke variant; `data.spec` what examples look like (`ae_jax.data.declared`), for programs that are
  compiled where the data are not; `data.engine` "auto" keeps the data on the device where all
  splits fit in `resident_mib`, else streams them, read by `workers` processes (0: threads).
- `optimizer.base_batch_size`: the batch size that `learning_rate` is meant for; it grows in
  proportion to `training.batch_size` (Goyal et al. 2017); `optimizer.restart` is a step from which
  warm-up and schedule begin anew, for a run whose steps are raised after its schedule has ended.
- `training.accumulation`: microbatches that a step's gradients are averaged over, in the memory of
  one; `compute_dtype` of the networks, "float32" or "bfloat16" (`ae_jax.precision`);
  `average_decay` of the running average of the parameters that is then evaluated and used;
  `steps_per_dispatch` None adapts to half a second a dispatch or four steps, a number is the most,
  within five seconds; `init_from` is the workdir of a run to start from, `init_parts` which of its
  parts (none given: all); `accept_new_data` goes on with other data than the run began with, which
  is refused otherwise.
- `parallel.devices` None takes all; `mesh` is that of the strategy "fsdp".
- `evaluation.batch_size` None is that of a microbatch; `images` are the examples shown in figures,
  0 draws none.
- `pod`, for `scripts/compile_for_pod.py` alone, is what it compiles for: under which strategies,
  and how many examples a step on each chip, None: `training.batch_size`.
"""

SMOKE = {"steps": 30, "log_every": 10, "eval_every": 20, "checkpoint_every": 20}

OPTIONAL = {"steps_per_dispatch": int, "devices": int, "batch_size": int, "clip_norm": float}
OPTIONAL |= {"test_fraction": float, "validation_fraction": float}
OPTIONAL |= {
    "average_decay": float,
    "base_batch_size": int,
    "restart": int,
    "batch_per_chip": int,
    "init_from": str,
    "data": int,
    "fsdp": int,
}
NULLABLE = {("data", "source")}  # None: an array passed from memory
OPEN = {
    ("data", "preprocessing"),
    ("data", "arguments"),
    ("corruption",),
    ("objective",),
    ("optimizer", "arguments"),
}
OPEN |= {("model", part) for part in PARTS} | {("data", "stand_in"), ("data", "spec")}

POSITIVE = {
    "training": (
        "steps",
        "batch_size",
        "accumulation",
        "log_every",
        "eval_every",
        "checkpoint_every",
        "keep_checkpoints",
        "max_skipped_in_a_row",
    ),
    "data": ("resident_mib",),
}
FREE_ON_RESUME = {
    ("training", name)
    for name in (
        "steps",
        "accumulation",
        "steps_per_dispatch",
        "log_every",
        "eval_every",
        "checkpoint_every",
        "keep_checkpoints",
        "max_skipped_in_a_row",
        "deterministic",
        "init_from",
        "init_parts",
        "accept_new_data",
    )
} | {("parallel",), ("evaluation",), ("pod",)}
FREE_ON_RESUME |= {("optimizer", "restart")}
FREE_ON_RESUME |= {
    ("data", name) for name in ("engine", "resident_mib", "workers", "spec", "stand_in")
}
"""What may differ between the starts of one run; steps may only grow."""
