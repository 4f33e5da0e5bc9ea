"""Terms from functions: `term` makes an objective's building block of one."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, overload

from jax.core import Tracer

from ae_jax import _registry as registry
from ae_jax.checks import require_positive_ints
from ae_jax.errors import PartError
from ae_jax.objective import Objective, Schedule, Term
from ae_jax.types import Array, Context, Outputs

P = ParamSpec("P")


@dataclasses.dataclass(frozen=True)
class BoundTerm:
    """A term's function with its arguments; equal when these are, so that jit does not retrace."""

    fn: Callable[..., Array]
    kwargs: tuple[tuple[str, Any], ...]

    def __call__(self, outputs: Outputs, context: Context) -> Array:
        """Calls the function."""
        return self.fn(outputs, context, **dict(self.kwargs))


class TermFactory(Protocol[P]):
    """What `term` makes: a function of the arguments, `name` and `schedule` to an Objective."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Objective: ...
    # No keyword can stand beside P.kwargs, so that with these two the others go unchecked.
    @overload
    def __call__(
        self, *args: Any, schedule: Schedule | None, name: str | None = None, **kwargs: Any
    ) -> Objective: ...
    @overload
    def __call__(self, *args: Any, name: str | None, **kwargs: Any) -> Objective: ...


@overload
def term(
    fn: Callable[Concatenate[Outputs, Context, P], Array],
    *,
    batch_coupled: bool = False,
    units: str = "nats",
    check: Callable[..., None] | None = None,
) -> TermFactory[P]: ...
@overload
def term(
    fn: None = None,
    *,
    batch_coupled: bool = False,
    units: str = "nats",
    check: Callable[..., None] | None = None,
) -> Callable[[Callable[Concatenate[Outputs, Context, P], Array]], TermFactory[P]]: ...
def term(
    fn: Callable[..., Array] | None = None,
    *,
    batch_coupled: bool = False,
    units: str = "nats",
    check: Callable[..., None] | None = None,
) -> Any:
    """Makes an objective's building block of a function of `(outputs, context, **arguments)`.

    The decorated function takes the arguments alone, checked by name, and returns an `Objective` of
    one term; it also takes `name` (the metric's) and `schedule` (`step -> multiplier`). An argument
    called `samples` tells how many latent samples the term needs.

    Args:
      fn: returns the loss of each example, float `[b]`, summed over event and latent dimensions; if
        batch-coupled, one scalar, made of `context.mean` and `context.gather`.
      batch_coupled: whether the value belongs to the whole batch.
      units: unit of its value, for `Objective.describe`.
      check: takes those of the arguments that it names and raises for bad ones, as soon as the term
        is made.

    Returns:
      A factory of objectives, or the decorator that makes one.

    Example:
      >>> import ae_jax as ae, jax.numpy as jnp
      >>> @ae.term
      ... def code_power(outputs, context):
      ...     return jnp.square(outputs.z).sum(-1).mean(-1)
      >>> ae.terms.reconstruction() + 0.1 * code_power()
      Objective(1.0 · reconstruction + 0.1 · code_power)
    """
    if fn is None:
        return functools.partial(term, batch_coupled=batch_coupled, units=units, check=check)
    full = inspect.signature(fn)
    signature = full.replace(parameters=list(full.parameters.values())[2:])
    path = f"{fn.__module__}:{fn.__qualname__}"

    @functools.wraps(fn)
    def factory(*args, name: str | None = None, schedule: Schedule | None = None, **kwargs):
        bound = registry.bind_arguments(f"term '{fn.__name__}'", signature, args, kwargs)
        frozen = tuple(
            (key, tuple(v) if isinstance(v, list) else v) for key, v in bound.arguments.items()
        )
        _require_hashable(fn.__name__, frozen)
        known = registry.TERMS.factories.get(fn.__name__) is factory
        node = registry.to_node(fn.__name__ if known else path, bound.arguments)
        samples = bound.arguments.get("samples", 1)
        require_positive_ints(samples=samples)
        if check is not None:
            named = inspect.signature(check).parameters
            check(**{key: bound.arguments[key] for key in named})
        single = Term(
            fn=BoundTerm(fn, frozen),
            name=name or fn.__name__,
            schedule=schedule,
            batch_coupled=batch_coupled,
            samples=samples,
            units=units,
            node=None if "<" in path or "__main__" in path else node,
        )
        return Objective((single,))

    return factory


def _require_hashable(name: str, frozen: tuple) -> None:
    for key, value in frozen:
        if isinstance(value, Tracer):  # a population's, which is built within its one program
            continue
        try:
            hash(value)
        except TypeError:
            raise PartError(
                f"term '{name}': the argument {key}={value!r} is mutable; arguments are static "
                "numbers, strings and tuples (weights may be arrays)"
            ) from None
