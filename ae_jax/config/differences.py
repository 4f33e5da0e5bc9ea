"""What two configs disagree in."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ae_jax.config.complete import complete
from ae_jax.config.plain import to_plain
from ae_jax.config.sections import ConfigLike, fields_of


def differences(
    old: ConfigLike, new: ConfigLike, free: Collection[tuple[str, ...]] = ()
) -> list[str]:
    """What two configs disagree in, where a resumed run may not: `field: old -> new`.

    Args:
      old: config that the workdir holds.
      new: config to go on with.
      free: paths of further fields that may differ.
    """
    old, new = complete(old), complete(new)  # an older config lacks the fields that came later
    return list(_differing(old, new, (), free))


def _differing(
    old: Any, new: Any, path: tuple[str, ...], free: Collection[tuple[str, ...]]
) -> Iterator[str]:
    for name in sorted(fields_of(type(old))):
        field = fields_of(type(old))[name]
        a, b, where = getattr(old, name), getattr(new, name), (*path, name)
        if field.free or where in free:
            continue
        if field.is_section:
            yield from _differing(a, b, where, free)
        else:
            yield from _unequal(to_plain(a), to_plain(b), where)


def _unequal(a: Any, b: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(set(a) | set(b)):
            yield from _unequal(a.get(key), b.get(key), (*path, key))
    elif a != b:
        yield f"{'.'.join(path)}: {a!r} -> {b!r}"
