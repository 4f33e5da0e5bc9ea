"""One row for each registered likelihood (several where an argument changes the mathematics)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import ae_jax as ae
from ae_jax.types import Likelihood, Shape
from tests.reference import likelihoods as oracles

DRAWS = 20_000
SHAPES = ((3,), (1,), (5, 7, 3))
EXTREMES = (0.0, 1e-6, -1e-6, 1.0, -1.0, 20.0, -20.0, 88.0, -88.0, 1e4, -1e4)


class Case(NamedTuple):
    """A likelihood and how to test it.

    Attributes:
      id: of the row.
      name: in the registry.
      arguments: of the factory.
      draw: `(rng, shape) -> x` in its support.
      edges: values of x to put beside extreme outputs of the decoder.
      support: the values and their weights of a sum or integral over one entry, or None.
      outside: an array with one value that it must refuse, how the message shows it, and where.
      shapes: of events it describes.
      has_mean: which entries of the last axis have a mean that `mean` gives.
      oracle: from `tests.reference`, None: of the same name and arguments.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    draw: Callable[[np.random.Generator, Shape], np.ndarray]
    edges: Sequence[float]
    support: tuple[np.ndarray, np.ndarray] | None = None
    outside: tuple[Any, str, tuple[int, ...]] | None = None
    shapes: Sequence[Shape] = SHAPES
    has_mean: Any = True
    oracle: Callable[..., Any] | None = None

    @property
    def part(self) -> Likelihood:
        return _part(self.id)

    @property
    def params(self) -> Any:
        """Learned parameters away from their start."""
        return jax.tree.map(lambda p: p + 0.0625, self.part.init(jax.random.key(0)))

    def outputs(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """A decoder's output for one event, in float32 and so the same in both precisions."""
        return rng.normal(size=self.part.parameter_shape(shape)).astype(np.float32)

    def reference(self, params: Any, y: Any, x: Any, observed: Any = True) -> tuple[float, float]:
        """log p and the sum of its absolute summands, of one event."""
        oracle = self.oracle or functools.partial(getattr(oracles, self.name), **self.arguments)
        as_double = lambda tree: jax.tree.map(lambda v: np.asarray(v, np.float64), tree)
        entries, magnitudes = oracle(as_double(params), as_double(y), as_double(x))
        assert entries.shape == x.shape
        return float(np.sum(entries, where=observed)), float(np.sum(magnitudes, where=observed))


def integral(low: float, high: float, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre points and weights on equal pieces of an interval, kinks allowed."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    width = (high - low) / pieces
    starts = low + width * np.arange(pieces)[:, None]
    return (starts + width * (nodes + 1) / 2).ravel(), np.tile(weights * width / 2, pieces)


def far_integral(reach: float, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights from -sinh reach to sinh reach, dense around 0: for heavy tails."""
    u, weights = integral(-reach, reach, pieces)
    return np.sinh(u), weights * np.cosh(u)


def total(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values, np.ones(len(values))


normals = lambda rng, shape: rng.normal(size=shape)
bits = lambda rng, shape: rng.integers(0, 2, shape)
uniforms = lambda rng, shape: rng.random(shape)
counts = lambda rng, shape: rng.poisson(np.exp(rng.normal(1, 1, shape)))
classes = lambda rng, shape: rng.integers(0, 5, shape)
grey = lambda rng, shape: rng.integers(0, 256, shape) / 255

COLUMNS = (
    ("bernoulli", 2),
    ({"name": "gaussian", "variance": "global"}, 1),
    ({"name": "categorical", "num_classes": 5}, 2),
    ({"name": "laplace", "variance": "predicted"}, 2),
)


def rows(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    assert shape == (7,)
    parts = bits(rng, 2), normals(rng, 1), classes(rng, 2), normals(rng, 2)
    return np.concatenate(parts, dtype=np.float64)


mixed_oracle = functools.partial(
    oracles.mixed,
    columns=(
        (oracles.bernoulli, {}, 2, 1),
        (oracles.gaussian, {"variance": "global"}, 1, 1),
        (oracles.categorical, {"num_classes": 5}, 2, 5),
        (oracles.laplace, {"variance": "predicted"}, 2, 2),
    ),
)
WIDE = (0.0, 1e-3, -1e3, 1e4, -1e4)
WHOLE = total(np.arange(400.0))

CASES = [
    Case(
        "bernoulli", "bernoulli", {}, bits, (0, 1), total(np.arange(2.0)),
        ([[0.0, 1.0], [1.5, 7.0]], "1.5", (1, 0)),
    ),
    Case(
        "continuous_bernoulli", "continuous_bernoulli", {}, uniforms, (0, 0.5, 1),
        integral(0, 1, 100), ([[0.0, 1.0], [0.5, -0.25]], "-0.25", (1, 1)),
    ),
    *(
        Case(
            f"{name}-{variance}", name, {"variance": variance, "scale": 0.5}, normals, WIDE,
            integral(-40, 40, 20_000),
        )
        for name, variance in (
            ("gaussian", "fixed"),
            ("gaussian", "global"),
            ("gaussian", "predicted"),
            ("laplace", "predicted"),
        )
    ),
    Case("student_t", "student_t", {"scale": 0.5}, normals, WIDE, far_integral(20, 4_000)),
    Case(
        "categorical", "categorical", {"num_classes": 5}, classes, (0, 4),
        total(np.arange(5.0)), ([[0, 4], [5, 1]], "5", (1, 0)), has_mean=False,
    ),
    Case(
        "poisson", "poisson", {}, counts, (0, 1, 700), WHOLE,
        ([[0.0, 700.0], [3.0, 1.5]], "1.5", (1, 1)),
    ),
    Case(
        "negative_binomial", "negative_binomial", {}, counts, (0, 1, 700),
        total(np.arange(4000.0)), ([[0, 3], [-1, 2]], "-1", (1, 0)),
    ),
    Case(
        "zero_inflated_negative_binomial", "zero_inflated_negative_binomial", {}, counts,
        (0, 1, 700), total(np.arange(4000.0)), ([[0, 3], [1, 0.25]], "0.25", (1, 1)),
    ),
    Case(
        "zero_inflated_negative_binomial-mean", "zero_inflated_negative_binomial", {"mean": 0.25},
        counts, (0, 1, 700), total(np.arange(2000.0)), ([[0], [-2]], "-2", (1, 0)),
    ),
    Case(
        "negative_binomial-means", "negative_binomial", {"mean": (0.5, 2.0, 7.5)}, counts,
        (0, 1, 700), None, ([[0, 3, 1], [1, 2, 0.5]], "0.5", (1, 2)), shapes=((3,), (4, 3)),
    ),
    Case(
        "poisson-means", "poisson", {"mean": (0.5, 2.0, 7.5)}, counts, (0, 700), None,
        ([[0, 3, 1], [-1, 2, 5]], "-1", (1, 0)), shapes=((3,),),
    ),
    Case(
        "discretized_logistic_mixture", "discretized_logistic_mixture", {"num_mixtures": 3},
        grey, (0, 0.6, 1), total(np.arange(256) / 255), ([[0.0, 1.0], [0.5, 1.0]], "0.5", (1, 0)),
    ),
    Case(
        "mixed", "mixed", {"columns": COLUMNS}, rows, (0, 1), None,
        ([[0, 1, 9.5, 4, 0, 2, 2], [0, 0, 9.5, 4, 6, 2, 2]], "6", (1, 4)), shapes=((7,),),
        has_mean=~np.isin(np.arange(7), (3, 4)), oracle=mixed_oracle,
    ),
]  # fmt: skip


@functools.cache
def _part(identifier: str) -> Likelihood:
    case = next(case for case in CASES if case.id == identifier)
    return ae.likelihoods.__dict__[case.name](**case.arguments)


@functools.cache
def compiled(identifier: str, what: str) -> Callable[..., Any]:
    """One of a likelihood's functions over a batch, compiled once for each shape and precision.

    "log_prob" takes params, y, x and observed; "gradients" the same and returns the values and the
    gradients by params and y; "draw" takes params, one y and keys; "table" params, one y, many x;
    "summary" takes params and one y and returns the mean, the mode and the mode's log_prob.
    """
    part = _part(identifier)

    def summary(params, y):
        mode = part.mode(params, y)
        return part.mean(params, y), mode, part.log_prob(params, y, mode, None)

    function = {
        "log_prob": jax.vmap(part.log_prob, (None, 0, 0, 0)),
        "gradients": jax.vmap(jax.value_and_grad(part.log_prob, (0, 1)), (None, 0, 0, 0)),
        "draw": jax.vmap(part.sample, (None, None, 0)),
        "table": jax.vmap(lambda p, y, x: part.log_prob(p, y, x, None), (None, None, 0)),
        "summary": summary,
    }[what]
    # Random bits take seconds to compile well, and run once.
    quick = {"xla_backend_optimization_level": 0} if what in ("draw", "summary") else None
    return jax.jit(function, compiler_options=quick)


def extremes(case: Case, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a decoder run wild beside the edges of the support, `[b, *shape]` each."""
    rng, shape = np.random.default_rng(5), case.shapes[0]
    y = rng.choice(EXTREMES, size=(size, *case.part.parameter_shape(shape)))
    y[: len(EXTREMES)] = np.reshape(EXTREMES, (-1,) + (1,) * (y.ndim - 1))  # all outputs equal
    x = rng.choice(case.edges, size=(size, *shape))
    return y.astype(np.float32), x.astype(np.float32)


def examples(case: Case, shape: Shape, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a sane decoder and data from the support, float32, `[b, *shape]` each."""
    rng = np.random.default_rng(1)
    y = np.stack([case.outputs(rng, shape) for _ in range(size)])
    x = np.stack([case.draw(rng, shape) for _ in range(size)])
    return y, x.astype(np.float32)
