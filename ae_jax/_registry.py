"""One registry a part: names in a config become parts, and parts remember their names.

A config node is `{"name": …, argument: value, …}`; `name` may also be the user's own
`"package.module:function"`.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
from jax.core import Tracer

from ae_jax.errors import ConfigError, PartError, UnknownNameError, nearest
from ae_jax.types import (
    Bottleneck,
    Coder,
    Critic,
    Flow,
    Likelihood,
    Network,
    Node,
    Prior,
)

P = ParamSpec("P")
T = TypeVar("T")


class Registry:
    """Factories of one kind of part, by name."""

    def __init__(self, kind: str, part: type | tuple[type, ...] | None = None):
        """Creates an empty registry.

        Args:
          kind: what its parts are called in messages, e.g. "likelihood".
          part: the type that its factories return; None accepts anything callable.
        """
        self.kind = kind
        self.part = part
        self.factories: dict[str, Callable[..., Any]] = {}

    def register(self, factory: Callable[P, T], name: str | None = None) -> Callable[P, T]:
        """Adds a factory (use as a decorator) and makes its parts carry their `Node`.

        Args:
          factory: a function of plain values that returns a part.
          name: how configs call it; the function's own name by default.

        Returns:
          The factory, whose arguments are now checked and whose parts have `.node` set.
        """
        name = name or factory.__name__
        signature = inspect.signature(factory)

        @functools.wraps(factory)
        def build(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = bind_arguments(f"{self.kind} '{name}'", signature, args, kwargs)
            return with_node(factory(*bound.args, **bound.kwargs), to_node(name, bound.arguments))

        self.factories[name] = build
        return build

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """The factory of a name, or of the user's own `module:function`."""
        if name in self.factories:
            return self.factories[name]
        if ":" in name:
            factory = import_object(name)
            if not callable(factory):
                raise PartError(
                    f"'{name}' must be a function that returns a {self.kind}, got {factory!r:.200}"
                )
            return factory
        raise UnknownNameError(f"no {self.kind} is called '{name}'{nearest(name, self.factories)}")

    def build(self, node: Any) -> Any:
        """A part from its config node; a part passes through unchanged.

        Args:
          node: a mapping with "name", a bare name, or a part.

        Returns:
          The part.

        Raises:
          UnknownNameError: no factory has this name.
          ConfigError: an argument is unknown, missing or of no use.
          PartError: the object is not this kind of part.
        """
        if isinstance(node, str):
            node = {"name": node}
        if not isinstance(node, Mapping):
            return self.check(node)
        if not isinstance(node.get("name"), str):
            raise ConfigError(f"a {self.kind} needs a 'name', got {dict(node)!r}")
        kwargs = {key: value for key, value in node.items() if key != "name"}
        name, factory = node["name"], self[node["name"]]
        if name in self.factories:
            return factory(**kwargs)
        bound = bind_arguments(f"{self.kind} '{name}'", inspect.signature(factory), (), kwargs)
        part = self.check(factory(**bound.arguments))
        return with_node(part, to_node(name, bound.arguments))

    def check(self, part: Any) -> Any:
        """Returns the part, or raises PartError if it is of another kind."""
        right = callable(part) if self.part is None else isinstance(part, self.part)
        if not right:
            raise PartError(f"expected a {self.kind}, got {type(part).__name__}: {part!r:.200}")
        return part


def bind_arguments(
    what: str, signature: inspect.Signature, args: tuple, kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Binds arguments with defaults applied, NumPy's scalars as Python's numbers.

    Args:
      what: the subject of the message.
      signature: what the arguments must fit.
      args: positional arguments.
      kwargs: keyword arguments.

    Returns:
      The bound arguments.

    Raises:
      ConfigError: an argument is unknown (the nearest is named) or missing.
    """
    known = signature.parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    for key in kwargs:
        if key not in known and not open_ended:
            raise ConfigError(f"{what} has no argument '{key}'{nearest(key, known)}")
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ConfigError(f"{what}: {error}; its signature is {signature}") from None
    bound.apply_defaults()
    bound.arguments.update({name: plain(value) for name, value in bound.arguments.items()})
    return bound


def plain(value: Any) -> Any:
    """Python's own number for a NumPy scalar, in lists, tuples and dicts too; all else as it is.

    Example:
      >>> import numpy as np
      >>> plain([np.int64(2), np.float32(0.5), "mean"])
      [2, 0.5, 'mean']
    """
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value


def import_object(path: str) -> Any:
    """The object at `"package.module:name"`.

    Raises:
      UnknownNameError: the module or the name does not exist.
    """
    module, _, name = path.partition(":")
    if not module or not name or module.startswith("."):
        raise UnknownNameError(f"cannot import '{path}': it is not 'package.module:name'")
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise UnknownNameError(f"cannot import '{path}': {error}") from error


def to_node(name: str, arguments: Mapping[str, Any]) -> Node | None:
    """The node of a part, or None when an argument cannot be written down."""
    try:
        return Node(name, tuple((key, _freeze(value)) for key, value in arguments.items()))
    except _NotWritable:
        return None


def with_node(part: T, node: Node | None) -> T:
    """The part with its node set: tuples with such a field are replaced, functions annotated."""
    annotated: Any = part
    if hasattr(annotated, "_replace"):
        return annotated._replace(node=node) if "node" in annotated._fields else part
    annotated.node = node
    return part


class _NotWritable(Exception):
    """An argument has no config form."""


def _freeze(value: Any) -> Any:
    if isinstance(value, Tracer):
        raise _NotWritable
    node, item = getattr(value, "node", None), getattr(value, "item", None)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return tuple(_freeze(item) for item in value)
    if isinstance(value, Mapping):
        name = value.get("name", "")
        return Node(name, tuple((k, _freeze(v)) for k, v in value.items() if k != "name"))
    if isinstance(node, Node):
        return node
    if getattr(value, "shape", None) == () and item is not None:
        return item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return _freeze(value.tolist())
    path = f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', None)}"
    if "<" not in path and "__main__" not in path:
        try:
            if import_object(path) is value:
                return path
        except UnknownNameError:
            pass
    raise _NotWritable


NETWORKS = Registry("network", (Network, Coder))
CRITICS = Registry("critic", Critic)
BOTTLENECKS = Registry("bottleneck", Bottleneck)
PRIORS = Registry("prior", Prior)
FLOWS = Registry("flow", Flow)
LIKELIHOODS = Registry("likelihood", Likelihood)
CORRUPTIONS = Registry("corruption")
TERMS = Registry("term")
COMBINATORS = Registry("combinator")
SCHEDULES = Registry("schedule")
OPTIMIZERS = Registry("optimizer")
SOURCES = Registry("data source")
PREPROCESSING = Registry("preprocessing")
