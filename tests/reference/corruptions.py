"""What corruptions do on average, and their masks by enumeration."""

import itertools

import numpy as np


def normal_moments(mean, std):
    """Mean, variance and fourth central moment."""
    return mean, std**2, 3 * std**4


def uniform_moments(low, high):
    return (low + high) / 2, (high - low) ** 2 / 12, (high - low) ** 4 / 80


def discrete_moments(outcomes):
    """Of a variable given as (value, probability) pairs."""
    mean = sum(p * value for value, p in outcomes)
    return (
        mean,
        sum(p * (value - mean) ** 2 for value, p in outcomes),
        sum(p * (value - mean) ** 4 for value, p in outcomes),
    )


def block_masks(space, sides):
    """Every place of a block, as masks over the positions."""
    starts = [range(room - side + 1) for room, side in zip(space, sides, strict=True)]
    masks = []
    for start in itertools.product(*starts):
        mask = np.zeros(space, bool)
        mask[tuple(slice(s, s + side) for s, side in zip(start, sides, strict=True))] = True
        masks.append(mask)
    return np.array(masks)


def patch_mask(chosen, sides, space):
    """The positions of the chosen patches, one by one."""
    mask = np.zeros(space, bool)
    for position in np.ndindex(*space):
        mask[position] = chosen[tuple(p // side for p, side in zip(position, sides, strict=True))]
    return mask
