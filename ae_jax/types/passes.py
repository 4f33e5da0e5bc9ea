"""What a forward pass gives, what a term is told, and who moves which parameters."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import keys as keys_lib
from ae_jax.errors import PartError, nearest
from ae_jax.ops import random as fused_random
from ae_jax.types.arrays import BATCH_AXIS, Array, PRNGKey, Tree
from ae_jax.types.data import Batch
from ae_jax.types.parts import Variables


class Told(NamedTuple):
    """What a decoder is told of one example beside z, each None where there is none.

    Attributes:
      target: the clean x, `[*event]`, which autoregressive decoders read; None: x is to be made up.
      observed: bool `[*event]`.
      extras: lengths, labels, conditions.
      info: what the corruption tells, such as the mask of a masked autoencoder.
      key: key of dropout.
      active: the places of the flattened z that may be other than 0, which spares a dense layer the
        others; of the z that it belongs to alone.
    """

    target: Array | None = None
    observed: Array | None = None
    extras: Mapping[str, Array] | None = None
    info: Mapping[str, Array] | None = None
    key: PRNGKey | None = None
    active: Array | None = None


class Outputs(NamedTuple):
    """What one forward pass gives; sampled quantities are always `[b, k, …]`, k = 1 included.

    Attributes:
      corrupted: what the encoder saw, `[b, *event]`.
      info: what the corruption tells (the mask of a masked autoencoder), each `[b, …]`.
      posterior: q(z | x), leaves `[b, …]`; None of a model without an encoder.
      z: `[b, k, *latent]`, of a model without an encoder drawn from the prior.
      parameters: the decoder's output, `[b, k, *parameter_shape]`.
      log_px: log p(x | z), `[b, k]`, nats; None without an encoder, or a likelihood with a density.
      log_qz: log q(z | x), `[b, k]`; None if deterministic.
      log_pz: log p(z), `[b, k]`; None if deterministic or without a prior.
      activations: the encoder's and decoder's named hidden layers; the encoder's `[b, …]` under
        their own names, the decoder's `[b, k, …]` under "decoder/NAME".
      level_kl: of a hierarchy, each level's KL(q ‖ p) given the sampled levels above, in closed
        form, `[b, k, levels]`, nats, the bottom's first; None of a single latent.
    """

    corrupted: Array
    info: Mapping[str, Array]
    posterior: Any
    z: Array
    parameters: Array
    log_px: Any
    log_qz: Array | None
    log_pz: Array | None
    activations: dict[str, Array]
    level_kl: Array | None = None


def _identity(tree: Any, axis: int = 0) -> Any:
    del axis
    return tree


class Collectives(NamedTuple):
    """Reductions over devices; the identity on one device and in global view.

    Attributes:
      size: how many devices share the batch.
      sum: tree summed over devices.
      mean: tree averaged over devices.
      gather: tree of `[b, …]` to `[size · b, …]`.
      number: `() -> ` this device's number, below `size`.
      whole: tree of parameters, from where it is split over devices to whole on each; gradients
        through it are split again. To be called on what is about to be used.
      spread: `(tree, axis) -> tree` whose axis of examples is split over devices.
    """

    size: int = 1
    sum: Callable[[Any], Any] = _identity
    mean: Callable[[Any], Any] = _identity
    gather: Callable[[Any], Any] = _identity
    number: Callable[[], Any] = lambda: 0
    whole: Callable[[Any], Any] = _identity
    spread: Callable[..., Any] = _identity


ALONE = Collectives()
"""One device, or global view."""


class Context(NamedTuple):
    """What a term may need beyond `Outputs`.

    Attributes:
      model: the Autoencoder.
      variables: its Variables.
      batch: this device's share of the batch.
      keys: this device's ExampleKeys.
      step: the optimizer step, for schedules.
      num_train: the size of the training set.
      across: reductions over devices.
      train: whether the forward pass was one of training.
    """

    model: Any
    variables: Variables
    batch: Batch
    keys: keys_lib.ExampleKeys
    step: Array
    num_train: int
    across: Collectives = ALONE
    train: bool = False

    def share(self, per_example: Array) -> Array:
        """`size · Σ valid·ℓ / global Σ valid`: the mean over devices of this is the global mean.

        Args:
          per_example: `[b, …]`.

        Returns:
          `[…]`, this device's share, float32 or better.
        """
        dtype = jnp.promote_types(jnp.result_type(per_example), jnp.float32)
        per_example, valid = jnp.asarray(per_example, dtype), self.batch.valid
        if valid is None:
            return jnp.mean(per_example, axis=0)
        shape = valid.shape + (1,) * (per_example.ndim - 1)
        total = jnp.sum(jnp.where(valid.reshape(shape), per_example, 0), axis=0)
        count = self.across.sum(jnp.sum(valid, dtype=dtype))
        return self.across.size * total / jnp.maximum(count, 1)

    def decoding(self, fn: Callable[..., Any], outputs: Outputs, *per_example: Any) -> Any:
        """`fn(decode, *row)` of every example: the one way to decode again within a term.

        `decode(z, i)` gives the likelihood's parameters `[*parameter_shape]` for z as the forward
        pass found them for latent sample i: told the same target, mask, extras and places in use,
        with the same dropout, and with batch statistics taken as there. `decode(z)` is the decoder
        as a map, at any z: as in evaluation, told no places in use, since they are another's.

        Args:
          fn: function of one example; `decode` may be differentiated and mapped in it.
          outputs: outputs of the forward pass.
          *per_example: what else it takes, leaves `[b, …]`.

        Returns:
          What `fn` returns, stacked: leaves `[b, …]`.

        Example:
          >>> import ae_jax as ae, jax.numpy as jnp
          >>> @ae.term
          ... def smoothness(outputs, context):
          ...     def one(decode, z):
          ...         return jnp.mean((decode(z) - decode(z + 0.01)) ** 2)
          ...
          ...     return context.decoding(one, outputs, outputs.z[:, 0])
        """
        batch = self.batch
        active = getattr(outputs.posterior, "active", None)
        extras, info = dict(batch.extras), dict(outputs.info)
        told = Told(batch.x, batch.observed, extras, info, self.keys.dropout, active)

        def one(told, *row):
            def decode(z, sample=None):
                again = sample is not None
                key = fused_random.fold_in(told.key, (sample if again else 0) + 1)
                told_once = told._replace(key=key, active=told.active if again else None)
                train = self.train and again
                y, _, _ = self.model.decode_one(self.variables, z, told_once, train=train)
                return self.model.given(y, told.target, told.observed)

            return fn(decode, *row)

        return jax.vmap(one, axis_name=BATCH_AXIS)(told, *per_example)

    def critic(self, name: str, *inputs: Array, layer: str | None = None) -> Array:
        """What one of the model's critics makes of each row.

        Args:
          name: of the critic.
          *inputs: what it reads, each `[b, …]`: examples, codes, or both in the order of its `on`.
          layer: a hidden layer by name, in place of the verdict.

        Returns:
          `[b, *outputs]`, or the layer's values `[b, …]`.

        Raises:
          PartError: the model has no such critic, or the critic no such layer.

        Example:
          >>> import ae_jax as ae, jax.numpy as jnp
          >>> @ae.term
          ... def realism(outputs, context):
          ...     return -context.critic("critic", context.batch.x)
        """
        keys, extras = self.keys.dropout, dict(self.batch.extras)
        verdict, layers, _ = self.model.judge(
            self.variables, name, inputs, keys, extras, train=self.train
        )
        if layer is None:
            return verdict
        if layer not in layers:
            raise PartError(f"the critic '{name}' has no layer '{layer}'{nearest(layer, layers)}")
        return layers[layer]

    def judging(self, fn: Callable[..., Any], name: str, *per_example: Any) -> Any:
        """`fn(judge, *row)` of every example, `judge(*inputs)` a critic's verdict on one example.

        For what is to be differentiated by an input, such as a gradient penalty.

        Args:
          fn: of one example.
          name: of the critic.
          *per_example: what else `fn` takes, leaves `[b, …]`.

        Returns:
          What `fn` returns, stacked: leaves `[b, …]`.
        """

        def one(extras, key, *row):
            told = {"extras": extras, "key": key, "train": self.train}
            judge = lambda *inputs: self.model.judge_one(self.variables, name, inputs, **told)[0]
            return fn(judge, *row)

        rows = dict(self.batch.extras), self.keys.dropout, *per_example
        return jax.vmap(one, axis_name=BATCH_AXIS)(*rows)

    def mean(self, per_example: Array) -> Array:
        """The mean over all valid examples of the global batch, the same on every device."""
        return self.across.mean(self.share(per_example))

    def gather(self, per_example: Tree) -> Tree:
        """All examples of the global batch, `[b, …]` to `[size · b, …]`; `valid` included as is."""
        return self.across.gather(per_example)

    def all_valid(self) -> Array:
        """`valid` of the global batch, bool `[size · b]`, to go with `gather`."""
        valid = self.batch.valid
        if valid is None:
            valid = jnp.ones(jax.tree.leaves(self.batch.x)[0].shape[0], bool)
        return self.gather(valid)


class Player(NamedTuple):
    """One side of a game; a single player is the ordinary case.

    Attributes:
      params: the top-level names of the parameters it moves.
      objective: what it minimises.
      optimizer: an optax GradientTransformation.
      every: it moves once in so many steps; its metrics, and the norm of the gradient it would have
        moved by, are those of all steps.
      name: under which its optimizer state and metrics are stored.
      start: the step before which it does not move.
    """

    params: tuple[str, ...]
    objective: Any
    optimizer: Any
    every: int = 1
    name: str = "model"
    start: int = 0
