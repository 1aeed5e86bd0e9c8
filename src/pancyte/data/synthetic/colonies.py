"""Rods that grow, divide and push each other apart: a microcolony, in units of their width.

A rod is a line segment with a thickness. It becomes longer, parts in two of about equal length when
it is long enough, and is pushed and turned where it overlaps others, as in an individual-based
model without inertia. Nothing but these contacts aligns the rods.

References
----------
Rudge et al. 2012, Computational modeling of synthetic microbial biofilms, doi:10.1021/sb300031n,
for the idea; the contacts here are simpler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from numpy.random import Generator

Column = npt.NDArray[np.float64]

# A rod becomes this much longer in a step, about, and is then pushed at least that many times.
_GROWTH: Final = 0.07
_PUSHES: Final = 8
_LAST_PUSHES: Final = 150


class Colony(NamedTuple):
    """Rods, each array (n,)."""

    y: Column
    """Middle, in widths of a rod; the middle of the colony is 0."""
    x: Column
    angle: Column
    """Radians from x towards y."""
    length: Column
    """From end to end, caps included, in widths; 1 is a circle."""
    progress: Column
    """How far towards its next division, 0 to 1."""


def grow_colony(count: int, *, aspect: float, turn: float, generator: Generator) -> Colony:
    """Grow a colony from one rod.

    Parameters
    ----------
    count
        How many rods it shall have.
    aspect
        Mean length in widths, at least 1.
    turn
        Standard deviation in radians of the angle by which a rod is turned when it is born; about
        0.1 for rods, more than 1 for cocci that divide in any direction.
    generator
        Source of randomness.
    """
    birth, division = max(0.7 * aspect, 1.0), max(1.4 * aspect, 1.6)
    rods = np.zeros((1, 6))  # y, x, angle, length, length at division, rate
    rods[0] = [0, 0, generator.uniform(0, np.pi), birth, division, 1]
    while len(rods) < count:
        rods[:, 3] *= np.exp(_GROWTH * rods[:, 5])
        ready = np.flatnonzero(rods[:, 3] >= rods[:, 4])[: count - len(rods)]
        rods = _divide(rods, ready, division, turn, generator)
        # The push of the inner rods takes longer to reach the rim of a larger colony.
        _push_apart(rods, _PUSHES + len(rods) // 8)
    _push_apart(rods, _LAST_PUSHES)
    rods[:, :2] -= rods[:, :2].mean(axis=0)
    least = rods[:, 4] / 2.0
    progress = np.clip((rods[:, 3] - least) / (rods[:, 4] - least), 0.0, 1.0)
    return Colony(rods[:, 0], rods[:, 1], rods[:, 2], rods[:, 3], progress)


def _divide(
    rods: Column, ready: npt.NDArray[np.intp], division: float, turn: float, generator: Generator
) -> Column:
    """Part some rods in two."""
    if not len(ready):
        return rods
    mothers = rods[ready]
    share = np.clip(0.5 + 0.04 * generator.standard_normal(len(ready)), 0.35, 0.65)
    along = np.stack([np.sin(mothers[:, 2]), np.cos(mothers[:, 2])], axis=1)
    daughters = []
    for side, part in ((1.0, share), (-1.0, 1.0 - share)):
        daughter = mothers.copy()
        daughter[:, :2] += side * along * ((1.0 - part) * mothers[:, 3] / 2.0)[:, None]
        daughter[:, 2] += turn * generator.standard_normal(len(ready))
        daughter[:, 3] = np.maximum(part * mothers[:, 3], 1.0)
        daughter[:, 4] = division * np.exp(0.12 * generator.standard_normal(len(ready)))
        daughter[:, 5] = np.exp(0.2 * generator.standard_normal(len(ready)))
        daughters.append(daughter)
    return np.concatenate([np.delete(rods, ready, axis=0), *daughters])


@njit(cache=True)
def _push_apart(rods: Column, rounds: int) -> None:
    """Move and turn rods (y, x, angle, length, ...) of width 1, in place, until few overlap."""
    shift = np.zeros((len(rods), 4))  # y, x, angle, number of contacts
    for _ in range(rounds):
        shift[:] = 0.0
        for i in range(len(rods)):
            for j in range(len(rods)):
                _meet(rods, i, j, shift)
        most = 0.0
        for i in range(len(rods)):
            if shift[i, 3] > 0:
                part = 1.0 / (1.0 + 0.5 * (shift[i, 3] - 1.0))
                for k in range(3):
                    rods[i, k] += part * shift[i, k]
                most = max(most, part * (abs(shift[i, 0]) + abs(shift[i, 1])))
        if most < 0.002:
            break


@njit(cache=True)
def _meet(rods: Column, i: int, j: int, shift: Column) -> None:
    """Add to the shifts what two rods ask for, if they are near each other."""
    dy, dx = rods[j, 0] - rods[i, 0], rods[j, 1] - rods[i, 1]
    reach = 0.5 * (rods[i, 3] + rods[j, 3])
    if i == j or dy * dy + dx * dx >= reach * reach:
        return
    if _cross(rods, i, j):
        # Ends would be pushed to the wrong side: move the middles apart.
        distance = np.sqrt(dy * dy + dx * dx) + 1e-9
        shift[i, 0] -= 0.5 * dy / distance
        shift[i, 1] -= 0.5 * dx / distance
        shift[i, 3] += 1.0
    else:
        _touch(rods, i, j, shift)


@njit(cache=True)
def _cross(rods: Column, i: int, j: int) -> bool:
    """Tell whether the middle lines of two rods cross."""
    dy, dx = rods[j, 0] - rods[i, 0], rods[j, 1] - rods[i, 1]
    sin_i, cos_i = np.sin(rods[i, 2]), np.cos(rods[i, 2])
    sin_j, cos_j = np.sin(rods[j, 2]), np.cos(rods[j, 2])
    turned = cos_i * sin_j - sin_i * cos_j
    if abs(turned) < 1e-6:
        return False
    along_i = (dx * sin_j - dy * cos_j) / turned
    along_j = (dx * sin_i - dy * cos_i) / turned
    half_i, half_j = 0.5 * (rods[i, 3] - 1.0), 0.5 * (rods[j, 3] - 1.0)
    return bool(abs(along_i) < half_i and abs(along_j) < half_j)


@njit(cache=True)
def _touch(rods: Column, i: int, j: int, shift: Column) -> None:
    """Add to the shifts of i and j what both ends of i that lie too near to j ask for."""
    half_i, half_j = 0.5 * (rods[i, 3] - 1.0), 0.5 * (rods[j, 3] - 1.0)
    sin_i, cos_i = np.sin(rods[i, 2]), np.cos(rods[i, 2])
    sin_j, cos_j = np.sin(rods[j, 2]), np.cos(rods[j, 2])
    for side in (-1.0, 1.0):
        arm_y, arm_x = side * half_i * sin_i, side * half_i * cos_i
        y, x = rods[i, 0] + arm_y, rods[i, 1] + arm_x
        t = (y - rods[j, 0]) * sin_j + (x - rods[j, 1]) * cos_j
        t = min(max(t, -half_j), half_j)
        away_y, away_x = y - rods[j, 0] - t * sin_j, x - rods[j, 1] - t * cos_j
        distance = np.sqrt(away_y * away_y + away_x * away_x)
        overlap = 1.0 - distance
        if overlap <= 0 or distance < 1e-9:
            continue
        push_y, push_x = 0.5 * overlap * away_y / distance, 0.5 * overlap * away_x / distance
        for k, sign, ay, ax, half in (
            (i, 1.0, arm_y, arm_x, half_i),
            (j, -1.0, t * sin_j, t * cos_j, half_j),
        ):
            shift[k, 0] += sign * push_y
            shift[k, 1] += sign * push_x
            # Turning grows with the lever and shrinks with the inertia of the rod.
            lever = ax * push_y - ay * push_x
            shift[k, 2] += sign * lever / (0.25 + half * half / 3.0 + 0.5 * half)
            shift[k, 3] += 0.5
