"""The autoencoder: corrupt → encode → bottleneck → decode, and the only place that vmaps."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from ae_jax import judging
from ae_jax import keys as keys_lib
from ae_jax.assembly import check_output, initialised, part_of
from ae_jax.corruptions import Corruption
from ae_jax.distributions import conditioned
from ae_jax.errors import PartError
from ae_jax.networks._calls import accepted
from ae_jax.ops import random as fused_random
from ae_jax.types import (
    BATCH_AXIS,
    Array,
    Batch,
    Bottleneck,
    Coder,
    Critic,
    Distribution,
    Draw,
    Likelihood,
    Outputs,
    PRNGKey,
    Told,
    Tree,
    Variables,
)

T = TypeVar("T")
NOTHING = Told()
NO_ENCODER = (
    "this model has no encoder, so that nothing can be encoded or reconstructed: it makes examples "
    "from its prior, by sample() (ae.recipes.bigan encodes as well)"
)


class Autoencoder(NamedTuple):
    """A row of pure parts; see `ae_jax.autoencoder` to build one.

    Attributes:
      encoder: Coder from x to `bottleneck.feature_shape`; None: z comes from the prior alone.
      decoder: Coder from z to `likelihood.parameter_shape(event_shape)`.
      bottleneck: from features to z.
      likelihood: p(x | z).
      corruption: `(key, x, observed) -> (x̃, info)`.
      compute_dtype: of the networks, if not float32; see `ae_jax.precision`.
      critics: further networks by name, which terms ask through `Context.critic`.
    """

    encoder: Coder | None
    decoder: Coder
    bottleneck: Bottleneck
    likelihood: Likelihood
    corruption: Corruption
    compute_dtype: Any = None
    critics: Mapping[str, Critic] = FrozenDict()

    judge_one = judging.judge_one
    judge = judging.judge
    critics_state = judging.critics_state
    followed = judging.followed

    def init(
        self, key: PRNGKey, example: Array, extras: dict[str, Array] | None = None
    ) -> Variables:
        """Draws the parameters and checks that all shapes meet.

        Args:
          key: a typed key.
          example: one example x, `[*event]`; only its shape and dtype matter.
          extras: its extras, for networks that take a condition.

        Returns:
          Variables.

        Raises:
          ShapeError: a network emits another shape than the next part takes.
        """
        parts = ("encoder", "decoder", "bottleneck", "likelihood")
        keys = dict(zip(parts, jax.random.split(key, len(parts)), strict=True))
        bottleneck, likelihood = self.bottleneck, self.likelihood
        z = jnp.zeros(bottleneck.latent_shape)
        emitted, example = likelihood.parameter_shape(jnp.shape(example)), self.seen(example)
        own = accepted(bottleneck.init, {"example": example})
        params, state = bottleneck.init(keys["bottleneck"], **own)
        shown = self._shown(Variables({"bottleneck": params}, {"bottleneck": state}), z)
        inits = {
            "encoder": (encoder := initialised(self.encoder, keys["encoder"], example, extras)),
            **judging.initial(self, key, example, z, extras, encoder[0]),
            "decoder": initialised(self.decoder, keys["decoder"], shown, extras),
            "bottleneck": (params, state),
            "likelihood": (likelihood.init(keys["likelihood"]), {}),
        }
        for name, coder, x, expected in (
            ("encoder", self.encoder, example, bottleneck.feature_shape),
            ("decoder", self.decoder, shown, emitted),
        ):
            if coder is not None:
                part = "bottleneck" if name == "encoder" else "likelihood"
                check_output(coder, inits[name], x, extras or {}, expected, (name, part))
        present = lambda i: {name: v[i] for name, v in inits.items() if jax.tree.leaves(v[i])}
        return Variables(params=present(0), state=present(1))

    def forward(
        self,
        variables: Variables,
        batch: Batch,
        keys: keys_lib.ExampleKeys,
        *,
        samples: int = 1,
        train: bool = False,
    ) -> tuple[Outputs, dict[str, Tree]]:
        """One pass over a batch, with latent samples.

        Args:
          variables: params and state.
          batch: x is `[b, *event]`.
          keys: one key an example and stream, `[b]`.
          samples: k, latent samples an example.
          train: whether dropout and batch statistics are those of training.

        Returns:
          Outputs, and what training collects on the way: under "state" the coders' new state by
          part, under "bottleneck" the sums of the bottleneck's statistics over valid examples.
        """
        if self.encoder is None:
            return self._generated(variables, batch, keys, samples, train)
        enc, (params, state) = part_of(variables, "encoder"), part_of(variables, "bottleneck")
        encoder = self.encoder
        likelihood_params, _ = part_of(variables, "likelihood")
        prior = self.prior(variables)

        def one(x, observed, extras, keys):
            corrupted, info = self.corruption(keys.corruption, x, observed)
            options = {"observed": observed, "extras": extras, "info": info, "train": train}
            features, activations, enc_state = encoder.apply(
                *enc,
                self.seen(corrupted, observed),
                key=fused_random.fold_in(keys.dropout, 0),
                **options,
            )
            posterior = self.bottleneck.posterior(params, state, features)
            active = getattr(posterior, "active", None)
            told = Told(x, observed, extras, info, active=active)

            def sampled(i):
                key = fused_random.fold_in(keys.latent, i)
                z, log_qz, level_kl, shown = self.draw(variables, posterior, key, train)
                own = told._replace(key=fused_random.fold_in(keys.dropout, i + 1))
                how: dict[str, Any] = {"train": train, "shown": shown}
                y, hidden, dec_state = self.decode_one(variables, z, own, **how)
                y = self.given(y, x, observed)
                log_px = self.likelihood.log_prob(likelihood_params, y, x, observed)
                pz = None if log_qz is None else conditioned(prior, extras)
                log_pz = None if pz is None else pz.log_prob(z)
                return (z, y, log_px, log_qz, log_pz), level_kl, hidden, dec_state

            drawn, level_kl, hidden, dec_state = _each(sampled, samples)
            activations |= {f"decoder/{name}": value for name, value in hidden.items()}
            outputs = Outputs(corrupted, info, posterior, *drawn, activations, level_kl)
            dec_state = jax.tree.map(lambda s: jnp.mean(s, axis=0, dtype=s.dtype), dec_state)
            stats = self.bottleneck.stats(state, posterior, drawn[0])
            return outputs, {"encoder": enc_state, "decoder": dec_state}, stats

        outputs, coders, stats = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, None, 0))(
            batch.x, batch.observed, dict(batch.extras), keys
        )
        coders = {name: tree for name, tree in coders.items() if jax.tree.leaves(tree)}
        return outputs, {"state": coders, "bottleneck": _sum_valid(stats, batch.valid)}

    def _generated(
        self,
        variables: Variables,
        batch: Batch,
        keys: keys_lib.ExampleKeys,
        samples: int,
        train: bool,
    ) -> tuple[Outputs, dict[str, Tree]]:
        """`forward` without an encoder: a batch of z from the prior, decoded."""
        prior: Any = self.prior(variables)

        def one(x, extras, keys):
            def sampled(i):
                z = conditioned(prior, extras).sample(fused_random.fold_in(keys.latent, i))
                told = Told(extras=extras, key=fused_random.fold_in(keys.dropout, i + 1))
                y, hidden, state = self.decode_one(variables, z, told, train=train)
                return (z, y), hidden, state

            (z, y), hidden, state = _each(sampled, samples)
            hidden = {f"decoder/{name}": value for name, value in hidden.items()}
            state = jax.tree.map(lambda s: jnp.mean(s, axis=0, dtype=s.dtype), state)
            return Outputs(x, {}, None, z, y, None, None, None, hidden), state

        outputs, state = jax.vmap(one, axis_name=BATCH_AXIS, out_axes=(0, None))(
            batch.x, dict(batch.extras), keys
        )
        collected = {"decoder": state} if jax.tree.leaves(state) else {}
        return outputs, {"state": collected, "bottleneck": {}}

    def decode_one(
        self,
        variables: Variables,
        z: Array,
        told: Told = NOTHING,
        *,
        train: bool = False,
        draw: Callable[[Array, Array], Array] | None = None,
        shown: Array | None = None,
    ) -> tuple[Array, dict[str, Array], Tree]:
        """The decoder's output for one z: everything that decodes, decodes here.

        Args:
          variables: the decoder's suffice, beside the bottleneck's where that has a `shown`.
          z: `[*latent]`.
          told: what else the decoder may read.
          train: whether dropout and batch statistics are those of training; statistics need a map
            over the batch, as in `forward` and `Context.decoding`.
          draw: what an autoregressive decoder without target makes of each position's parameters;
            None: its guess, the most probable token or the location. See `ae_jax.generation`.
          shown: what the bottleneck shows the decoder of z, where that is known already.

        Returns:
          y `[*parameter_shape]`, named activations, and the decoder's new state. A known example's
          library size is for `given` to add.
        """
        always = told._asdict()
        some: dict[str, Any] = {} if draw is None else {"draw": draw}
        for name in ("target", "active"):  # by name where a decoder takes them
            some[name] = always.pop(name)
        if told.target is not None:
            some["target"] = self.seen(told.target, told.observed)
        always["extras"] = {} if told.extras is None else told.extras
        options = always | accepted(self.decoder.apply, some)
        x = self._shown(variables, z) if shown is None else shown
        return self.decoder.apply(*part_of(variables, "decoder"), x, train=train, **options)

    def _shown(self, variables: Variables, z: Array) -> Array:
        """What the decoder is given of z."""
        shown = self.bottleneck.shown
        return z if shown is None else shown(*part_of(variables, "bottleneck"), z)

    def seen(self, x: Array, observed: Array | None = None) -> Array:
        """What the networks read of x, `[*event]`: of counts their logarithms, of all else x."""
        view = self.likelihood.view
        return x if view is None else view(x, observed)

    def given(self, y: Array, x: Array, observed: Array | None) -> Array:
        """The decoder's output y for an example x that is known, with its library size if any."""
        given = self.likelihood.given
        return y if given is None else given(y, x, observed)

    def draw(
        self, variables: Variables, posterior: Distribution, key: PRNGKey, train: bool = False
    ) -> Draw:
        """One z of a posterior and log q(z | x), together where one pass gives both.

        Args:
          variables: the bottleneck's suffice.
          posterior: of one example.
          key: a typed key.
          train: whether the pass is one of training.
        """
        for one_pass in ("draw", "sample_and_log_prob"):
            if hasattr(posterior, one_pass):
                return Draw(*getattr(posterior, one_pass)(key))
        latent = self.bottleneck.latent
        told = accepted(latent, {"train": train})
        z = latent(*part_of(variables, "bottleneck"), posterior, key, **told)
        return Draw(z, posterior.log_prob(z))

    def prior(self, variables: Variables) -> Any:
        """p(z) over one latent, or None; see `ae_jax.distributions.conditioned` for its use.

        Args:
          variables: the bottleneck's suffice, and the encoder's where the prior is made of the
            posteriors of pseudo-inputs.
        """

        def encode(x):
            one = lambda x: self._posterior_of_seen(variables, x, None, None, None)
            return jax.vmap(one, axis_name=BATCH_AXIS)(x)

        prior = self.bottleneck.prior
        return prior(*part_of(variables, "bottleneck"), **accepted(prior, {"encode": encode}))

    def posterior(
        self,
        variables: Variables,
        x: Array,
        observed: Array | None = None,
        extras: dict[str, Array] | None = None,
        info: dict[str, Array] | None = None,
    ) -> Distribution:
        """q(z | x) of a batch, leaves `[b, …]`, by the encoder's and bottleneck's variables alone.

        Args:
          variables: those two parts' suffice.
          x: `[b, *event]`, not corrupted, or as `info` says.
          observed: bool `[b, *event]`, or None.
          extras: each `[b, …]`.
          info: what the corruption of x tells, each `[b, …]`: the mask of a masked autoencoder.

        Raises:
          PartError: the model has no encoder.
        """
        one = lambda *row: self.posterior_of_one(variables, *row)
        return jax.vmap(one, axis_name=BATCH_AXIS)(x, observed, extras or {}, info)

    def posterior_of_one(
        self,
        variables: Variables,
        x: Array,
        observed: Array | None = None,
        extras: dict[str, Array] | None = None,
        info: dict[str, Array] | None = None,
    ) -> Distribution:
        """`posterior` of one example, within a map over the batch."""
        return self._posterior_of_seen(variables, self.seen(x, observed), observed, extras, info)

    def _posterior_of_seen(
        self, variables: Variables, seen: Array, observed: Any, extras: Any, info: Any
    ) -> Distribution:
        if self.encoder is None:
            raise PartError(NO_ENCODER)
        told = {"observed": observed, "extras": extras or {}, "info": info}
        features, _, _ = self.encoder.apply(*part_of(variables, "encoder"), seen, **told)
        return self.bottleneck.posterior(*part_of(variables, "bottleneck"), features)

    def started(self, variables: Variables, batch: Batch, key: PRNGKey) -> Variables:
        """The variables with the bottleneck started at the features of a first batch, if it can be.

        Args:
          variables: as initialised.
          batch: x is `[b, *event]`; `valid` is not looked at.
          key: a typed key.
        """
        encoder = self.encoder
        if self.bottleneck.start is None or encoder is None:
            return variables
        enc, own = part_of(variables, "encoder"), part_of(variables, "bottleneck")

        def one(x, observed, extras):
            seen = self.seen(x, observed)
            return encoder.apply(*enc, seen, observed=observed, extras=extras)[0]

        rows = batch.x, batch.observed, dict(batch.extras)
        features = jax.vmap(one, axis_name=BATCH_AXIS)(*rows)
        params, state = self.bottleneck.start(*own, features, key)
        put = lambda trees, tree: {**trees, "bottleneck": tree} if tree else trees
        return Variables(put(variables.params, params), put(variables.state, state))

    def encode(
        self,
        variables: Variables,
        x: Array,
        key: PRNGKey | None = None,
        observed: Array | None = None,
        extras: dict[str, Array] | None = None,
        info: dict[str, Array] | None = None,
    ) -> Array:
        """The code of each example, `[b, *latent]`: the posterior mean, or a sample with a key.

        Args:
          variables: the encoder's and bottleneck's suffice.
          x: `[b, *event]`.
          key: one typed key for the whole batch; None for the mean.
          observed: bool `[b, *event]`, or None.
          extras: each `[b, …]`.
          info: see `posterior`.
        """
        posterior = self.posterior(variables, x, observed, extras, info)
        own = part_of(variables, "bottleneck")
        if key is None:
            return jax.vmap(lambda q: self.bottleneck.latent(*own, q, None))(posterior)
        keys = jax.vmap(fused_random.fold_in, in_axes=(None, 0))(key, jnp.arange(x.shape[0]))
        return jax.vmap(lambda q, k: self.bottleneck.latent(*own, q, k))(posterior, keys)

    def decode_parameters(
        self,
        variables: Variables,
        z: Array,
        extras: dict[str, Array] | None = None,
        info: dict[str, Array] | None = None,
    ) -> Array:
        """The decoder's output for each z, `[b, *parameter_shape]`."""
        told = Told(extras=extras, info=info)
        one = lambda z, told: self.decode_one(variables, z, told)[0]
        return jax.vmap(one, axis_name=BATCH_AXIS)(z, told)

    def decode(
        self,
        variables: Variables,
        z: Array,
        extras: dict[str, Array] | None = None,
        x: Array | None = None,
        observed: Array | None = None,
        info: dict[str, Array] | None = None,
    ) -> Array:
        """The mean of p(x | z) for each z, `[b, *event]`; needs decoder and likelihood only.

        Args:
          variables: those two parts' suffice, beside the bottleneck's where that has a `shown`.
          z: `[b, *latent]`.
          extras: each `[b, …]`.
          x: the examples `[b, *event]` whose codes z are, for a likelihood that takes their library
            sizes; None: examples that are not known, of the likelihood's reference size.
          observed: bool `[b, *event]`, which entries of x are known; None: all.
          info: what the decoder is to know of a corruption, each `[b, …]`: which patches it is to
            fill in.
        """
        params, _ = part_of(variables, "likelihood")
        y = self.decode_parameters(variables, z, extras, info)
        if x is not None:
            y = jax.vmap(self.given)(y, x, observed)
        return jax.vmap(lambda y: self.likelihood.mean(params, y))(y)


def _each(sampled: Callable[[Array], T], samples: int) -> T:
    """`sampled(i)` for every i below `samples`, stacked."""
    if samples > 1:
        return jax.vmap(sampled)(jnp.arange(samples))
    # An axis of one keeps XLA:CPU from vectorising reductions: up to seven times slower.
    return jax.tree.map(lambda leaf: leaf[None], sampled(jnp.int32(0)))


def _sum_valid(stats: Tree, valid: Array | None) -> Tree:
    def total(leaf):
        if valid is not None:
            leaf = jnp.where(valid.reshape((-1,) + (1,) * (leaf.ndim - 1)), leaf, 0)
        return jnp.sum(leaf, axis=0)

    return jax.tree.map(total, stats)
