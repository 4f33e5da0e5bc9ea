"""Who is compared: a table of peers and their variants."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ae_jax.errors import UnknownNameError, nearest
from peers.trainer import PRECISIONS, Build


class Variant(NamedTuple):
    """One way to run a peer.

    Attributes:
      name: within the peer.
      options: what the peer's own code makes of it.
      workloads: those it is meant for; None: all of the peer's.
      needs_gpu: whether it is left out on a CPU.
    """

    name: str
    options: Mapping[str, Any] = MappingProxyType({})
    workloads: tuple[str, ...] | None = None
    needs_gpu: bool = False


class Peer(NamedTuple):
    """One program.

    Attributes:
      name: in `PEERS`.
      builder: "module:function" from a Job to a Trainer.
      variants: of it.
      best: what to try as (steps a call, threads), the likeliest first; 0: the peer chooses.
      settings: "one" is one step a call and default threads, "best" the best of those.
      workloads: those it has; None: all.
      precisions: those it has.
      needs: packages to install.
      runs_jax: whether its own start includes importing JAX.
    """

    name: str
    builder: str
    variants: tuple[Variant, ...]
    best: tuple[tuple[int, int], ...]
    settings: tuple[str, ...] = ("one", "best")
    workloads: tuple[str, ...] | None = None
    precisions: tuple[str, ...] = ("float32", "tf32")
    needs: tuple[str, ...] = ()
    runs_jax: bool = False

    def variants_for(self, workload: str, gpu: bool, precision: str = "float32") -> list[Variant]:
        """Those that a workload can run here."""
        if self.workloads is not None and workload not in self.workloads:
            return []
        if precision not in self.precisions:
            return []
        meant = lambda v: v.workloads is None or workload in v.workloads
        return [v for v in self.variants if meant(v) and (gpu or not v.needs_gpu)]

    def variant(self, name: str) -> Variant:
        """By name.

        Raises:
          UnknownNameError: no such variant; the nearest is named.
        """
        known = {variant.name: variant for variant in self.variants}
        if name not in known:
            raise UnknownNameError(f"'{self.name}' has no variant '{name}'{nearest(name, known)}")
        return known[name]


HERE = "peers"  # scripts/ is where a script looks for modules
FUSED = {"fused": True}
IMAGES = ("conv_vae", "resnet_vae")

PEERS = {
    row.name: row
    for row in (
        Peer(
            "ae_jax",
            f"{HERE}.ours:build",
            (Variant("library"),),
            best=((0, 0), (0, 1)),
            precisions=tuple(PRECISIONS),
            runs_jax=True,
        ),
        Peer(
            "jax_loop",
            f"{HERE}.jax_loop:build",
            (Variant("plain"),),
            best=((100, 0), (10, 0), (1, 0), (100, 1), (1, 1)),
            workloads=("vae", "conv_vae", "transformer", "topk"),
            runs_jax=True,
        ),
        Peer(
            "torch",
            f"{HERE}.torch_loop:build",
            (
                Variant("eager"),
                Variant("fused_adam", FUSED),
                Variant("compile", {"compile": "default"}),
                Variant("compile_fused_adam", FUSED | {"compile": "default"}),
                Variant("max_autotune", {"compile": "max-autotune"}),
                Variant("channels_last", FUSED | {"channels_last": True}, IMAGES),
                Variant(
                    "compile_channels_last",
                    FUSED | {"compile": "default", "channels_last": True},
                    IMAGES,
                ),
                Variant("sparse_decoder", FUSED | {"model": "topk_sparse"}, ("topk",)),
                Variant(
                    "cuda_graphs_fused_adam", FUSED | {"compile": "reduce-overhead"}, needs_gpu=True
                ),
                Variant(
                    "cuda_graphs_channels_last",
                    FUSED | {"compile": "reduce-overhead", "channels_last": True},
                    IMAGES,
                    needs_gpu=True,
                ),
            ),
            best=((10, 0), (1, 0), (10, 1), (1, 1)),
            precisions=tuple(PRECISIONS),
            needs=("torch",),
        ),
        Peer(
            "pythae",
            f"{HERE}.pythae_loop:build",
            (Variant("trainer"),),
            best=((100, 0), (100, 1)),
            settings=("best",),
            workloads=("vae", "conv_vae"),
            needs=("torch", "pythae"),
        ),
    )
}
"""By name.

- `torch`: the whole step is compiled: forward, gradients and Adam. `max_autotune` and
  `cuda_graphs_…` are `torch.compile`'s modes, the latter "reduce-overhead". `sparse_decoder`
  decodes the k units alone (`embedding_bag`).
- `pythae`: its own trainer owns the loop over an epoch, so that one step a call does not exist: a
  call is an epoch of so many steps.
"""


def find(name: str) -> Peer:
    """A row of the table.

    Raises:
      UnknownNameError: no such peer; the nearest is named.
    """
    if name not in PEERS:
        raise UnknownNameError(f"no peer is called '{name}'{nearest(name, PEERS)}")
    return PEERS[name]


def builder(peer: Peer) -> Build:
    """What makes its Trainer; imports what it needs."""
    module, function = peer.builder.split(":")
    return getattr(importlib.import_module(module), function)
