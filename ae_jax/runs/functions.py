"""What a run computes of a batch of examples: pure functions, traced by `Run.over_examples`."""

from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import evaluation, generation, keys
from ae_jax.data.batches import to_batch
from ae_jax.data.preprocessing import Preprocessing, on_device
from ae_jax.data.source import Records
from ae_jax.distributions import conditioned
from ae_jax.model import Autoencoder
from ae_jax.types import BATCH_AXIS, Array, Batch, Spec, Variables


class Functions(NamedTuple):
    """The functions of a model between the data's units and its codes.

    Records are in the data's units but for what the host does to them (`Preprocessing.host`);
    `shared` is `(variables, key data)`, `places` are the examples' numbers, uint32 `[n]`.

    Attributes:
      model: the Autoencoder.
      preprocessing: between the data's units and the model's.
      spec: of one example.
    """

    model: Autoencoder
    preprocessing: Preprocessing
    spec: Spec

    def batch(self, records: Records) -> Batch:
        """The records as the model takes them."""
        return to_batch(records, np.zeros(len(records.x), np.uint32), self.preprocessing)

    def posterior(self, variables: Variables, records: Records) -> Any:
        """q(z | x) of each example."""
        batch = self.batch(records)
        return self.model.posterior(variables, batch.x, batch.observed, dict(batch.extras))

    def encode(self, variables: Variables, records: Records) -> Array:
        """The posterior's mean, `[n, *latent]`."""
        batch = self.batch(records)
        return self.model.encode(variables, batch.x, None, batch.observed, dict(batch.extras))

    def shape_of_posterior(self, variables: Variables) -> Any:
        """One example's posterior, with shapes for arrays."""
        bottleneck = self.model.bottleneck
        weights = [tree.get("bottleneck", {}) for tree in variables]
        features = jax.ShapeDtypeStruct(bottleneck.feature_shape, np.float32)
        return jax.eval_shape(bottleneck.posterior, *weights, features)

    def encode_sample(self, shared: Any, records: Records, places: Array) -> Array:
        """A sample of each posterior, `[n, *latent]`."""
        variables, key = shared[0], jax.random.wrap_key_data(shared[1])
        batch = self.batch(records)
        example_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)

        def one(example_key, *row):  # in one map, so that what a posterior holds stays one for all
            return self.model.posterior_of_one(variables, *row).sample(example_key)

        rows = batch.x, batch.observed, dict(batch.extras)
        return jax.vmap(one, axis_name=BATCH_AXIS)(example_keys, *rows)

    def decode(
        self, variables: Variables, z: Array, extras: dict[str, Array], *known: Any
    ) -> Array:
        """The mean of p(x | z), `[n, *event]`."""
        return self.in_units(self.model.decode(variables, z, extras, *known))

    def reconstruct(self, variables: Variables, records: Records) -> Array:
        """The mean of p(x | z) at the posterior's mean, `[n, *event]`."""
        z = self.encode(variables, records)
        known = self.batch(records)
        return self.decode(variables, z, dict(records.extras), known.x, known.observed)

    def sample_codes(self, shared: Any, places: Array, extras: dict[str, Array]) -> Array:
        """A sample of the prior, `[n, *latent]`: that which `sample` decodes."""
        return self._drawn(shared, places, extras)[0]

    def sample(self, shared: Any, places: Array, extras: dict[str, Array]) -> Array:
        """The mean of p(x | z) at a sample of the prior, `[n, *event]`."""
        z, _ = self._drawn(shared, places, extras)
        return self.decode(shared[0], z, extras)

    def observe(self, shared: Any, places: Array, extras: dict[str, Array]) -> Array:
        """A draw from p(x | z) at a sample of the prior, `[n, *event]`."""
        z, example_keys = self._drawn(shared, places, extras)
        return self._observed(shared[0], z, example_keys, extras)

    def observe_at(self, shared: Any, places: Array, z: Array, extras: dict[str, Array]) -> Array:
        """A draw from p(x | z) at given codes, `[n, *event]`."""
        key = jax.random.wrap_key_data(shared[1])
        one = lambda place: jax.random.fold_in(jax.random.fold_in(key, place), 1)
        return self._observed(shared[0], z, jax.vmap(one)(places), extras)

    def _observed(self, variables: Variables, z: Array, example_keys: Any, extras: Any) -> Array:
        shape = self.spec.event_shape
        drawn = lambda z, k, e: generation.observation(self.model, variables, z, k, shape, e)
        return self.in_units(jax.vmap(drawn)(z, example_keys, extras))

    def _drawn(self, shared: Any, places: Array, extras: dict[str, Array]) -> tuple[Array, Array]:
        """Samples of the prior, and a key for what follows, of each place."""
        variables, key = shared[0], jax.random.wrap_key_data(shared[1])
        prior: Any = self.model.prior(variables)

        def one(place, extras):
            example_key = jax.random.fold_in(key, place)
            z = conditioned(prior, extras).sample(jax.random.fold_in(example_key, 0))
            return z, jax.random.fold_in(example_key, 1)

        return jax.vmap(one)(places, extras)

    def log_likelihood(self, samples: int, shared: Any, records: Records, places: Array) -> Array:
        """The importance-weighted bound on log p(x), nats, `[n]`."""
        variables, key = shared[0], jax.random.wrap_key_data(shared[1])
        draws = keys.for_preprocessing(key, None, places, places)
        batch = to_batch(records, places, self.preprocessing, draws)
        example_keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places)
        return evaluation.log_likelihood(self.model, variables, batch, example_keys, samples)

    def in_units(self, x: Array) -> Array:
        """The model's x in the data's units but for what the host does; sequences ended."""
        return generation.ended(on_device(self.preprocessing).invert(x), self.spec.terminator)
