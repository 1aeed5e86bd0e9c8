"""``Prepared``: a network rewritten for speed, which stands for the one that it was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from pancyte.runtime import Precision


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A network that does what another one does, as long as that one stays as it is."""

    network: nn.Module
    """The faster one."""
    source: nn.Module
    """The one that it was made of."""
    precision: Precision
    """What it was made for."""
    _state: tuple[tuple[int, int, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", _state_of(self.source))

    def stands_for(self, network: nn.Module, precision: Precision) -> bool:
        """Return whether it may be run in place of a network.

        Not if that is another one, was trained on, was given other weights or another device, or is
        to be run in another precision. Hooks on its modules are not seen, and never called.
        """
        return (
            network is self.source
            and precision == self.precision
            and _state_of(network) == self._state
        )


def _state_of(network: nn.Module) -> tuple[tuple[int, int, float], ...]:
    """Return where the tensors of a network lie, how often each was changed, and their sums.

    What is changed through ``.data``, or in inference mode, is not counted by torch; the sum tells,
    in about two milliseconds for all of a small network.
    """
    tensors = [*network.parameters(), *network.buffers()]
    return tuple(
        (
            tensor.data_ptr(),
            0 if tensor.is_inference() else tensor._version,  # noqa: SLF001
            float(tensor.detach().sum()),
        )
        for tensor in tensors
    )
