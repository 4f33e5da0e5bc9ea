"""The optimizer of a config section: any of optax's, with clipping and a learning-rate shape."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optax

from ae_jax._registry import OPTIMIZERS, bind_arguments, import_object
from ae_jax.checks import require_positive
from ae_jax.config.sections import Optimizer
from ae_jax.errors import ConfigError, UnknownNameError, nearest

NAMES = (
    "adabelief",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "lamb",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
)
OF_LOSS = ("lbfgs", "polyak_sgd")
"""Those that are told the loss, too; `make_step` does."""
AVERAGED = ("schedule_free_adamw", "schedule_free_sgd")
"""Those whose parameters to use are an average; see `ae_jax.training.averages`."""
for _name in (*NAMES, *OF_LOSS, *AVERAGED):
    _home = optax.contrib if _name in AVERAGED else optax
    OPTIMIZERS.factories[_name] = getattr(_home, _name)

SHAPES: dict[str, Callable[[int], Callable[[Any], Any]]] = {
    "constant": lambda steps: optax.constant_schedule(1.0),
    "cosine": lambda steps: optax.cosine_decay_schedule(1.0, steps),
    "linear": lambda steps: optax.linear_schedule(1.0, 0.0, steps),
}


def learning_rate(
    peak: float, schedule: str, warmup_steps: int, steps: int, restart: int | None = None
) -> Any:
    """The learning rate over a run: a linear warm-up to the peak, then a shape down to the end.

    With a restart it does so twice, to the restart and from there on (Loshchilov & Hutter 2017,
    SGDR).

    Args:
      peak: the highest value.
      schedule: "constant", "cosine" or "linear".
      warmup_steps: length of the warm-up, below `steps`.
      steps: steps of the whole run.
      restart: the step from which warm-up and shape begin anew; None: never.

    Returns:
      A number where it never changes, else `step -> learning rate`.

    Raises:
      ConfigError: a value out of range, or an unknown schedule.
    """
    require_positive(**{"optimizer.learning_rate": peak})
    if schedule not in SHAPES:
        raise UnknownNameError(
            f"optimizer.schedule cannot be {schedule!r}{nearest(schedule, SHAPES)}"
        )
    if restart is not None:
        return _restarted(peak, schedule, warmup_steps, steps, restart)
    if not 0 <= warmup_steps < steps:
        raise ConfigError(
            f"optimizer.warmup_steps must lie in [0, training.steps={steps}), got {warmup_steps}"
        )
    if schedule == "constant" and not warmup_steps:
        return peak
    shape = SHAPES[schedule](steps - warmup_steps)
    ramp = optax.linear_schedule(0.0, 1.0, max(warmup_steps, 1))
    joined = optax.join_schedules([ramp, shape], [warmup_steps])
    return lambda step: peak * joined(step)


def _restarted(peak: float, schedule: str, warmup_steps: int, steps: int, restart: int) -> Any:
    if not 0 < restart < steps:
        raise ConfigError(
            f"optimizer.restart must lie in (0, training.steps={steps}), got {restart}"
        )
    for length in (restart, steps - restart):
        if not 0 <= warmup_steps < length:
            raise ConfigError(
                f"optimizer.warmup_steps is {warmup_steps}, but optimizer.restart={restart} leaves "
                f"only {length} of {steps} steps on one side"
            )
    lengths = (restart, steps - restart)
    rates: list[Any] = [learning_rate(peak, schedule, warmup_steps, length) for length in lengths]
    return optax.join_schedules(rates, [restart]) if callable(rates[0]) else peak


def rate_of(section: Optimizer, steps: int, batch_size: int) -> Any:
    """The learning rate of the config's `optimizer` section; see `from_config`.

    Returns:
      A number where it never changes, else `step -> learning rate`, steps being the updates made.
    """
    peak, base = section.learning_rate, section.base_batch_size
    peak = peak if base is None else peak * batch_size / base
    shape = section.schedule, section.warmup_steps
    return learning_rate(peak, *shape, steps, section.restart)


def rate_at(rate: Any, updates: int) -> float:
    """The learning rate, of `rate_of`, after so many updates."""
    return float(rate(updates) if callable(rate) else rate)  # pyright: ignore[reportArgumentType]


def from_config(section: Optimizer, steps: int, batch_size: int) -> optax.GradientTransformation:
    """The optimizer of the config's `optimizer` section.

    Args:
      section: name, learning_rate, base_batch_size, schedule, warmup_steps, restart, clip_norm,
        arguments.
      steps: steps of the whole run.
      batch_size: size of the global batch; where there is a base_batch_size, the learning rate is
        `learning_rate · batch_size / base_batch_size` (Goyal et al. 2017).

    Returns:
      An optax GradientTransformation.

    Raises:
      UnknownNameError: no optimizer has this name.
      ConfigError: an argument it does not take, or a value out of range.
    """
    if not isinstance(section.arguments, Mapping):
        raise ConfigError(f"optimizer.arguments is a section, got {section.arguments!r}")
    name, arguments = section.name, dict(section.arguments)
    known = name in OPTIMIZERS.factories
    factory = OPTIMIZERS.factories[name] if known else _other(name)
    rate = rate_of(section, steps, batch_size)
    bound = bind_arguments(f"optimizer '{name}'", inspect.signature(factory), (rate,), arguments)
    optimizer = factory(*bound.args, **bound.kwargs)
    if section.clip_norm is None:
        return optimizer
    require_positive(**{"optimizer.clip_norm": section.clip_norm})
    return optax.chain(optax.clip_by_global_norm(section.clip_norm), optimizer)


def _other(name: str) -> Callable[..., optax.GradientTransformation]:
    if ":" in name:
        return import_object(name)
    raise UnknownNameError(f"no optimizer is called '{name}'{nearest(name, OPTIMIZERS.factories)}")
