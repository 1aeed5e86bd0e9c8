"""Where bacteria lie: colonies, scattered cells and pairs, crossing filaments, groups of cocci."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from pancyte.data.synthetic.bodies import Body, Points, constricted, straight
from pancyte.data.synthetic.colonies import grow_colony

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from pancyte.data.synthetic.rods import Rods

_SIZES: Final = 0.05
"""Standard deviation of the logarithm of the width of cells of one culture."""
_DIVIDING: Final = 0.8
_TRIES: Final = 8
_COLONIES: Final = 4


def colony(settings: Rods, generator: Generator) -> list[Body]:
    """Return a colony about the middle of the image, or a few where they are small."""
    colonies: list[list[Body]] = []
    circles = np.zeros((0, 3))
    for _ in range(_COLONIES):
        bodies = _one_colony(settings, generator)
        spines = np.concatenate([body.spine for body in bodies])
        reach = float(np.hypot(*spines.T).max()) + settings.width
        center = np.array(settings.shape) / 2.0
        if colonies:
            center = generator.random(2) * settings.shape
        else:
            center += generator.uniform(-0.8, 0.8, 2) * np.maximum(center - reach, 0.1 * reach)
        apart = np.hypot(*(circles[:, :2] - center).T) - circles[:, 2]
        if (apart > reach).all():
            colonies.append([body._replace(spine=body.spine + center) for body in bodies])
            circles = np.vstack([circles, [*center, reach]])
        if reach > 0.4 * min(settings.shape):
            break
    return [body for bodies in colonies for body in bodies]


def scattered(settings: Rods, generator: Generator) -> list[Body]:
    """Return cells in random places, some in pairs, none over another."""
    bodies: list[Body] = []
    taken = np.zeros((0, 2))
    for _ in range(_TRIES * settings.count):
        if len(bodies) >= settings.count:
            break
        group = _pair_or_single(settings, generator)
        own = np.concatenate([body.spine for body in group])
        if _is_free(own[::2], taken, settings.width * (1.0 + settings.gap)):
            bodies += group
            taken = np.concatenate([taken, own[:: max(1, round(settings.width / 2))]])
    return bodies


def filaments(settings: Rods, generator: Generator) -> list[Body]:
    """Return filaments that wind and cross, and some rods; the later lie over the earlier."""
    bodies = []
    waves = generator.random() < 0.2  # spirilla
    for _ in range(settings.count):
        longest = settings.aspect * math.exp(0.5 * generator.standard_normal())
        length = settings.width * min(max(longest, 2.0), 40.0)
        spine = _wander(settings, length, generator, wave=8.0 * settings.width if waves else 0.0)
        radius = np.full(len(spine), _radius(settings, generator))
        bodies.append(Body(spine, radius))
    return bodies


def cocci(settings: Rods, generator: Generator) -> list[Body]:
    """Return round cells: one cluster, or chains and pairs."""
    if generator.random() < 0.4:
        turned = grow_colony(settings.count, aspect=1.1, turn=1.5, generator=generator)
        pitch = settings.width * (1.0 + settings.gap)
        middle = np.array(settings.shape) * generator.uniform(0.35, 0.65, 2)
        return [
            straight(
                middle + pitch * np.array([y, x]),
                angle,
                length=settings.width * max(length, 1.0),
                radius=_radius(settings, generator),
            )
            for y, x, angle, length, _ in zip(*turned, strict=True)
        ]
    return _chains(settings, generator)


ARRANGEMENTS: Final[dict[str, Callable[[Rods, Generator], list[Body]]]] = {
    "colony": colony,
    "scattered": scattered,
    "filaments": filaments,
    "cocci": cocci,
}
"""Ways to place bacteria: from settings to bodies."""


def _one_colony(settings: Rods, generator: Generator) -> list[Body]:
    """Return a colony about the point 0, bent as a whole so that its rods are."""
    turn = abs(generator.normal(0.0, 0.12))
    grown = grow_colony(settings.count, aspect=settings.aspect, turn=turn, generator=generator)
    pitch = settings.width * (1.0 + settings.gap)
    bodies = []
    for y, x, angle, length, progress in zip(*grown, strict=True):
        body = straight(
            pitch * np.array([y, x]),
            angle,
            length=pitch * length - settings.gap * settings.width,
            radius=_radius(settings, generator),
        )
        bodies.append(_dividing(body, progress, generator))
    return _bend_together(bodies, settings, generator)


def _chains(settings: Rods, generator: Generator) -> list[Body]:
    bodies: list[Body] = []
    taken = np.zeros((0, 2))
    longest = generator.choice([2, 6, 20])
    for _ in range(_TRIES * settings.count):
        if len(bodies) >= settings.count:
            break
        number = int(generator.integers(1, longest + 1))
        step = settings.width * generator.uniform(0.85, 1.0) * (1.0 + settings.gap)
        spine = _wander(settings, step * max(number - 1, 0.01), generator)
        if not _is_free(spine, taken, 1.1 * settings.width):
            continue
        taken = np.concatenate([taken, spine])
        for place in np.linspace(0, len(spine) - 1, number).round().astype(int):
            ahead = spine[min(place + 1, len(spine) - 1)] - spine[max(place - 1, 0)]
            length = settings.width * generator.uniform(1.0, 1.25)
            angle, radius = math.atan2(ahead[0], ahead[1]), _radius(settings, generator)
            bodies.append(straight(spine[place], angle, length=length, radius=radius))
    return bodies


def _pair_or_single(settings: Rods, generator: Generator) -> list[Body]:
    """Return a cell, or two that have just divided, still end to end."""
    center = generator.random(2) * settings.shape
    angle = generator.uniform(0.0, 2.0 * math.pi)
    longest = settings.aspect * math.exp(0.25 * generator.standard_normal())
    length = settings.width * max(longest, 1.0)
    radius = _radius(settings, generator)
    bend = settings.curvature * generator.standard_normal()
    if generator.random() < 0.75:
        body = straight(center, angle, length=length, radius=radius, bend=bend)
        return [_dividing(body, generator.random(), generator)]
    kink = angle + generator.normal(0.0, 0.25)
    half = 0.5 * (0.75 * length + settings.gap * settings.width)
    return [
        straight(
            center + side * half * np.array([math.sin(turned), math.cos(turned)]),
            turned,
            length=0.75 * length,
            radius=radius,
        )
        for side, turned in ((1.0, angle), (-1.0, kink))
    ]


def _dividing(body: Body, progress: float, generator: Generator) -> Body:
    if progress < _DIVIDING or len(body.spine) < 5:
        return body
    return constricted(body, generator.uniform(0.0, 0.5) * (progress - _DIVIDING) / 0.2)


def _radius(settings: Rods, generator: Generator) -> float:
    return 0.5 * settings.width * math.exp(_SIZES * generator.standard_normal())


@njit(cache=True)
def _is_free(points: Points, taken: Points, distance: float) -> bool:
    """Tell whether all points (n, 2) keep a distance from all others (m, 2)."""
    for i in range(len(points)):
        for j in range(len(taken)):
            y, x = points[i, 0] - taken[j, 0], points[i, 1] - taken[j, 1]
            if y * y + x * x < distance * distance:
                return False
    return True


def _wander(settings: Rods, length: float, generator: Generator, *, wave: float = 0.0) -> Points:
    """Return a spine that keeps its direction for a while, or a wave of that length in pixels."""
    steps = max(2, math.ceil(length / 0.5))
    size = length / steps
    # Over a length of ten widths it turns by the curvature, about.
    noise = generator.standard_normal(steps).cumsum() * settings.curvature
    turns = noise * math.sqrt(size / (10.0 * settings.width))
    turns = turns + 0.5 * generator.normal(0.0, settings.curvature) * np.linspace(-1, 1, steps)
    if wave:
        turns = turns + 0.8 * np.sin(2.0 * math.pi * np.arange(steps) * size / wave)
    # Smooth over about two widths: a filament is stiff.
    window = max(1, round(2.0 * settings.width / size))
    padded = np.pad(turns, window, mode="edge")
    turns = np.convolve(padded, np.ones(window) / window, mode="same")[window:-window]
    angles = generator.uniform(0.0, 2.0 * math.pi) + turns
    spine = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1) * size, axis=0)
    middle = generator.uniform(0.05, 0.95, 2) * settings.shape
    return np.asarray(spine - spine.mean(axis=0) + middle)


def _bend_together(bodies: list[Body], settings: Rods, generator: Generator) -> list[Body]:
    """Shift all spines along smooth waves, which bends neighbors alike and parts none."""
    waves = []
    for _ in range(4):
        period = settings.width * settings.aspect * generator.uniform(1.5, 4.0)
        turn = generator.uniform(0.0, 2.0 * math.pi)
        number = np.array([math.sin(turn), math.cos(turn)]) * 2.0 * math.pi / period
        # Sideways of the wave only, which does not squeeze; the slope is the curvature.
        aside = np.array([number[1], -number[0]]) / np.hypot(*number)
        slope = 0.35 * settings.curvature * generator.standard_normal()
        waves.append((number, aside * slope * period / (2.0 * math.pi), generator.uniform(0, 6.3)))
    bent = []
    for body in bodies:
        moved = sum(np.sin(body.spine @ k + phase)[:, None] * aside for k, aside, phase in waves)
        bent.append(body._replace(spine=body.spine + moved))
    return bent
