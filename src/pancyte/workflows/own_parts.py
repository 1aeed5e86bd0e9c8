"""What a training can be given from Python in place of what its task brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

from pancyte.errors import UsageError

if TYPE_CHECKING:
    from pancyte.tasks import Task
    from pancyte.training.loop import HasLosses
    from pancyte.workflows.validation import Metric

Losses: TypeAlias = Callable[[nn.Module, Tensor, Mapping[str, Tensor]], dict[str, Tensor]]
"""Named scalar loss terms of (network, images (B, C, Y, X), targets); their sum is minimized."""
Network: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A network, or a function that makes one; its outputs are those that the task reads."""


@dataclass(frozen=True, slots=True)
class OwnLosses:
    """A function in the place of the losses of a task."""

    function: Losses

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the loss terms of the function.

        Raises
        ------
        UsageError
            The function returns something else than loss terms.
        """
        terms = self.function(network, images, targets)
        if not terms or not all(isinstance(t, Tensor) and t.ndim == 0 for t in terms.values()):
            msg = (
                "losses: expected a function that returns scalar tensors by name, such as "
                f"{{'bce': loss}}, but got {terms!r}"
            )
            raise UsageError(msg)
        return terms


@dataclass(frozen=True, slots=True)
class OwnParts:
    """Network, losses and metrics of a training that do not come from its task."""

    network: Network | None = None
    """None is the network of the task."""
    losses: Losses | None = None
    """None is the losses of the task."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """Scores of validation in addition to f1 and ap."""

    def make_network(self, task: Task) -> nn.Module:
        """Return the network to train; one that was passed is trained itself."""
        return task.network() if self.network is None else make_network(self.network)

    def has_losses(self, task: Task) -> HasLosses:
        """Return what computes the loss."""
        return task if self.losses is None else OwnLosses(self.losses)


def make_network(network: Network) -> nn.Module:
    """Return a network that was passed as such or as the function that makes it.

    Raises
    ------
    UsageError
        The function returns something else.
    """
    made: object = network if isinstance(network, nn.Module) else network()
    if not isinstance(made, nn.Module):
        msg = f"network: expected a torch network or a function that makes one, but got {made!r}"
        raise UsageError(msg)
    return made


def name_of_network(network: nn.Module) -> str:
    """Return the class of a network with its module, to be recognized by people."""
    return f"{type(network).__module__}.{type(network).__qualname__}"
