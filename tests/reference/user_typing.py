"""A user's file for pyright: lines that end in `# error` are wrong, all others right. Not run."""

from typing import reveal_type  # pyright: ignore[reportAttributeAccessIssue]

import jax
import jax.numpy as jnp
import numpy as np

import ae_jax as ae


@ae.term(batch_coupled=True)
def usage(outputs: ae.Outputs, context: ae.Context, target: float) -> jax.Array:
    return jnp.sum((context.mean(outputs.z) - target) ** 2)


x = np.zeros((10, 4), np.float32)
recipe = ae.recipes.vae(latent_dim=2, encoder=ae.networks.mlp((8,)))
run = ae.fit(recipe, x, steps=1)
codes = run.encode(x)
network = ae.networks.conv()
likelihood = ae.likelihoods.gaussian(variance="global")
own = usage(target=0.5)
rising = ae.schedules.linear(0.0, 1.0, 100)
objective = ae.terms.reconstruction() + 0.1 * own + ae.terms.kl(schedule=rising)
variables = ae.load("runs/a").variables
for value in (recipe, run, codes, network, likelihood, objective, own, variables):
    print(value)
reveal_type(recipe)
reveal_type(run)
reveal_type(codes)
reveal_type(network)
reveal_type(likelihood)
reveal_type(objective)
reveal_type(own)
reveal_type(variables)

ae.recipes.vae(latent_dim="x")  # error
ae.recipes.sparse(64, rho="low")  # error
ae.fit(recipe, x, steps="many")  # error
ae.networks.mlp(hidden="wide", activation=3)  # error
ae.networks.conv(featurs=(8,))  # error
ae.likelihoods.gaussian(variance=ae)  # error
ae.bottlenecks.gaussian()  # error
ae.terms.sparsity(rho="low")  # error
ae.terms.iwae(samples="many")  # error
usage(targte=0.5)  # error
run.sample("many")  # error
run.summary = 3  # error
