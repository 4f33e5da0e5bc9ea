"""The equations of a program that its compiler computes: none of them twice."""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from jax.extend import core

CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call")
"""Primitives that compute one inner program once, from their own inputs."""
Inner = Callable[[Any], Sequence[tuple[Any, int]]]


class Distinct:
    """A walk through a program that leaves out what an earlier equation has computed already.

    Two equations are the same computation if their primitives, parameters and inputs are. Loops and
    rematerialisation begin anew: what they compute again is meant to be.

    Args:
      inner: from an equation to the programs inside it and how often each is computed.
    """

    def __init__(self, inner: Inner):
        self._inner = inner
        self._fresh = itertools.count()
        self._seen: dict[Hashable, list[Hashable]] = {}

    def equations(
        self, jaxpr: Any, inputs: Sequence[Hashable] | None = None, times: int = 1
    ) -> Iterator[tuple[Any, int]]:
        """As `ae_jax.benchmarking.program.flops.equations`, each computation once.

        Args:
          jaxpr: the program.
          inputs: what its arguments are, by the numbers of values; None: all different.
          times: how often it is computed.

        Yields:
          `(equation, times)`.
        """
        yield from self._walk(jaxpr, inputs, times)

    def _walk(self, jaxpr: Any, inputs: Any, times: int) -> Any:
        """Yields equations, and returns the numbers of what the program returns."""
        given = self._new(len(jaxpr.invars)) if inputs is None else list(inputs)
        numbers: dict[Any, Hashable] = dict(zip(jaxpr.invars, given, strict=True))
        numbers |= zip(jaxpr.constvars, self._new(len(jaxpr.constvars)), strict=True)
        number = lambda atom: _value(atom) if isinstance(atom, core.Literal) else numbers[atom]
        for equation in jaxpr.eqns:
            outputs = yield from self._equation(
                equation, [number(v) for v in equation.invars], times
            )
            numbers |= zip(equation.outvars, outputs, strict=True)
        return [number(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: list[Hashable], times: int) -> Any:
        inside = self._inner(equation)
        if _is_call(equation) and len(inside) == 1:
            program = inside[0][0]
            return (
                yield from self._walk(program, inputs[len(inputs) - len(program.invars) :], times)
            )
        key = _key(equation, inputs)
        if not inside and key in self._seen:
            return self._seen[key]
        if not inside:
            yield equation, times
        for sub, turns in inside:
            yield from Distinct(self._inner).equations(sub, None, times * turns)
        outputs = self._new(len(equation.outvars))
        if key is not None:
            self._seen[key] = outputs
        return outputs

    def _new(self, number: int) -> list[Hashable]:
        return list(itertools.islice(self._fresh, number))


def _is_call(equation: Any) -> bool:
    """Whether what is inside is computed once, a platform's branch of a choice between them too."""
    return equation.primitive.name in CALLS or bool(equation.params.get("branches_platforms"))


def _key(equation: Any, inputs: list[Hashable]) -> Hashable | None:
    """What an equation computes; None where that cannot be told."""
    try:
        key = (equation.primitive, tuple(sorted(equation.params.items())), tuple(inputs))
        hash(key)
    except TypeError:
        return None
    return None if equation.effects else key


def _value(literal: Any) -> Hashable:
    return "literal", str(literal.val), str(literal.aval)
