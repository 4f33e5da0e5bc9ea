"""The autoencoder: a row of parts, its variables, and what decodes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from ae_jax.corruptions import Corruption
from ae_jax.model import encoding, forward_pass, judging
from ae_jax.model.assembly import check_output, initialised, part_of
from ae_jax.networks._calls import accepted
from ae_jax.types import (
    BATCH_AXIS,
    Array,
    Bottleneck,
    Coder,
    Critic,
    Distribution,
    Draw,
    Likelihood,
    PRNGKey,
    Told,
    Tree,
    Variables,
)

NOTHING = Told()


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

    forward = forward_pass.forward
    posterior = encoding.posterior
    posterior_of_one = encoding.posterior_of_one
    started = encoding.started
    encode = encoding.encode
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
        seen = accepted(bottleneck.init, {"example": example})
        params, state = bottleneck.init(keys["bottleneck"], **seen)
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
            one = lambda x: encoding.posterior_of_seen(self, variables, x, None, None, None)
            return jax.vmap(one, axis_name=BATCH_AXIS)(x)

        prior = self.bottleneck.prior
        return prior(*part_of(variables, "bottleneck"), **accepted(prior, {"encode": encode}))

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
