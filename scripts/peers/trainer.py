"""What every peer is to the worker: a handful of functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from peers.admission import TOLERANCE, Admission


class Job(NamedTuple):
    """One process's work. Its fields are the worker's flags.

    Attributes:
      mode: "prepare", "admission", "timing", "elbo" or "peak"; see `worker`.
      workload: a name in `WORKLOADS`.
      size: one of its sizes.
      folder: where `prepare` wrote.
      peer: a name in `PEERS`.
      variant: one of its variants.
      regime: where the data lie, "host" or "device".
      steps_per_call: steps between two waits for the result; 0: what the peer chooses, or an epoch.
      threads: of the CPU; 0: the peer's own default.
      precision: a key of `PRECISIONS`.
      seconds: to measure for.
      seed: of the peer's own noise and order.
      source: of other data than the workload's own, in mode "prepare".
      target: nats of test −ELBO to reach, in mode "elbo".
      epochs: at most so many, in mode "elbo".
    """

    mode: str = "timing"
    workload: str = "vae"
    size: str = "smoke"
    folder: str = "peers"
    peer: str = "ae_jax"
    variant: str = "library"
    regime: str = "device"
    steps_per_call: int = 1
    threads: int = 0
    precision: str = "float32"
    seconds: float = 5.0
    seed: int = 0
    source: str = ""
    target: float = 0.0
    epochs: int = 20


class Precision(NamedTuple):
    """How one declared precision is asked for in each framework.

    Attributes:
      jax: of float32 products.
      torch: of float32 products.
      compute: what networks compute in; parameters, losses and Adam are float32.
      tolerance: of the losses that admit a peer, relative.
    """

    jax: str
    torch: str
    compute: str = "float32"
    tolerance: float = TOLERANCE


PRECISIONS = {
    "float32": Precision("highest", "highest"),
    "tf32": Precision("tensorfloat32", "high", tolerance=1e-3),
    "bfloat16": Precision("highest", "highest", "bfloat16", tolerance=5e-3),
}
"""JAX's default for float32 is TF32 on recent GPUs, PyTorch's is not: neither default is used.

In bfloat16 ae_jax computes as under `training.compute_dtype`, PyTorch under `torch.autocast`.
"""


class Trainer(NamedTuple):
    """A model with its data, ready to train.

    Attributes:
      advance: trains for one call and waits until it is done; returns the steps taken.
      replay: from the initial weights, the losses of ten steps on an Admission's batches and noise.
      evaluate: the mean test loss (the −ELBO of a variational model), in nats.
      parameters: how many numbers are trained.
      optimizer: name, learning_rate, b1, b2, eps, as the optimizer itself holds them.
      device: what it runs on.
      close: ends what runs in the background.
    """

    advance: Callable[[], int]
    replay: Callable[[Admission], Sequence[float]]
    evaluate: Callable[[], float]
    parameters: int
    optimizer: Mapping[str, Any]
    device: str
    close: Callable[[], None] = lambda: None


Build = Callable[[Job], Trainer]
