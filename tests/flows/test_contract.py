"""What every flow keeps: inverse of forward, and the volume change that autodiff finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax as ae
from tests import fast
from tests.distributions.cases import FLOWS, moved

SIZE, CONTEXT = 3, 2
ALL = FLOWS | {
    "chain": ae.flows.chain(
        [ae.flows.reverse(), ae.flows.planar(layers=1), ae.flows.inverted("planar")]
    )
}
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(5, SIZE)), jnp.float32)
TOLD = jnp.asarray(RNG.normal(size=(5, CONTEXT)), jnp.float32)


def computed(flow, context):
    params = moved(flow.init(jax.random.key(0), SIZE, context))

    def each(x, told):
        told = told if context else None
        forward = lambda x: flow.forward(params, x, told)
        y, log_det = forward(x)
        back, log_det_back = flow.inverse(params, y, told)
        there, _ = flow.forward(params, *flow.inverse(params, x, told)[:1], told)
        return {
            "y": y,
            "back": back,
            "there": there,
            "log_det": log_det,
            "log_det_back": log_det_back,
            "jacobian": jax.jacfwd(lambda x: forward(x)[0])(x),
            "jacobian_back": jax.jacrev(lambda y: flow.inverse(params, y, told)[0])(y),
        }

    return fast.jit(jax.vmap(each))(X, TOLD)


@pytest.mark.parametrize("context", [pytest.param(0, marks=pytest.mark.slow), CONTEXT])
@pytest.mark.parametrize(
    "name",
    [
        n if n in ("planar", "inverse_autoregressive") else pytest.param(n, marks=pytest.mark.slow)
        for n in ALL
    ],
)
def test_a_flow_is_inverted_and_knows_its_volume(name, context):
    found = computed(ALL[name], context)
    np.testing.assert_allclose(found["back"], X, atol=1e-5)
    np.testing.assert_allclose(found["there"], X, atol=1e-5)
    assert np.abs(found["y"] - X).max() > 0.1
    volumes = np.linalg.slogdet(np.asarray(found["jacobian"], np.float64))[1]
    np.testing.assert_allclose(found["log_det"], volumes, atol=1e-5)
    np.testing.assert_allclose(found["log_det_back"], -volumes, atol=1e-5)
    # Implicit derivatives too, of the inverses that are found by iteration.
    product = np.einsum("bij,bjk->bik", found["jacobian"], found["jacobian_back"])
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(SIZE), product.shape), atol=1e-4)


def test_a_context_changes_the_map():
    flow = ae.flows.planar(layers=1)
    params = moved(flow.init(jax.random.key(0), SIZE, CONTEXT))
    one, other = (flow.forward(params, X[0], told)[0] for told in TOLD[:2])
    assert np.abs(one - other).max() > 1e-3


def test_the_inverse_autoregressive_flow_is_the_masked_one_the_other_way_round():
    masked = ae.flows.masked_autoregressive(layers=1, hidden=(8,))
    inverse = ae.flows.inverse_autoregressive(layers=1, hidden=(8,))
    params = moved(masked.init(jax.random.key(0), SIZE, 0))
    for ours, theirs in ((inverse.forward, masked.inverse), (inverse.inverse, masked.forward)):
        for got, expected in zip(ours(params, X[0], None), theirs(params, X[0], None), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_planar_layers_match_the_papers_formula():
    params = moved(ae.flows.planar(layers=1).init(jax.random.key(0), SIZE, 0))
    u, w, b = (np.asarray(params["000"][n], np.float64) for n in ("towards", "across", "offset"))
    u_hat = u + (np.log1p(np.exp(w @ u)) - 1 - w @ u) * w / (w @ w)  # appendix A.1
    x = np.asarray(X[0], np.float64)
    y, log_det = ae.flows.planar(layers=1).forward(params, X[0], None)
    np.testing.assert_allclose(y, x + u_hat * np.tanh(w @ x + b), rtol=1e-5)
    slope = 1 - np.tanh(w @ x + b) ** 2
    np.testing.assert_allclose(log_det, np.log(np.abs(1 + u_hat @ w * slope)), rtol=1e-4)


def test_a_spline_is_the_identity_at_first_and_beyond_its_bound():
    flow = ae.flows.rational_quadratic_spline(layers=1, bound=2.0, coupling=False, hidden=(8,))
    start, x = flow.init(jax.random.key(0), SIZE, 0), jnp.array([0.5, 3.0, -7.0])
    np.testing.assert_allclose(fast.jit(flow.forward)(start, x, None)[0], x, rtol=1e-5)
    y, _ = fast.jit(flow.forward)(moved(start), x, None)
    np.testing.assert_array_equal(y[1:], x[1:])
    assert abs(y[0] - x[0]) > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ae.flows.realnvp(layers=0), "layers must be a positive whole number, got 0"),
        (lambda: ae.flows.realnvp(hidden=64), r"hidden must be a list of sizes .* got 64"),
        (lambda: ae.flows.realnvp(hidden=(0,)), "hidden must be a positive whole number, got 0"),
        (lambda: ae.flows.planar(layers=1.5), "layers must be a positive whole number, got 1.5"),
        (
            lambda: ae.flows.rational_quadratic_spline(bins=0),
            "bins must be a positive whole number",
        ),
        (lambda: ae.flows.rational_quadratic_spline(bound=-1), "bound must be a positive number"),
        (lambda: ae.flows.chain([]), "at least one flow"),
        (lambda: ae.flows.chain(["plane"]), "did you mean 'planar'"),
        (lambda: ae.flows.realnvp().init(jax.random.key(0), 1, 0), "size 1 does not allow"),
    ],
)
def test_bad_flows_are_refused(make, message):
    with pytest.raises(ae.errors.AeJaxError, match=message):
        make()
