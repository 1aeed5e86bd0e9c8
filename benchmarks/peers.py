"""What peers take to predict an image, with untrained weights of their published architecture.

Each function loads its package, builds the network, predicts the image once, and returns seconds by
the clock and of CPU time of its stages. ``ModuleNotFoundError`` where the package is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stages import Clock
from timing import peak

if TYPE_CHECKING:
    from torch import nn

Row = dict[str, Any]
Array = npt.NDArray[Any]


def stardist(image: Array, labels: Array) -> Row:
    """Predict with the architecture of 2D_versatile_fluo: 32 rays on a grid of 2.

    Untrained outputs are noise, of which its post-processing would make anything; it gets what a
    perfect network would say of ``labels`` instead.
    """
    clock = Clock()
    with clock.stage("import"):
        from csbdeep.utils import normalize
        from stardist import edt_prob, star_dist
        from stardist.models import Config2D, StarDist2D
    with clock.stage("build the network"):
        config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=1)
        model = StarDist2D(config, name=None, basedir=None)
    with clock.stage("not counted"):
        perfect = edt_prob(labels)[::2, ::2], star_dist(labels, 32, grid=(2, 2))
    with clock.stage("normalize"):
        normalized = normalize(image, 1, 99.8)
    with clock.stage("network"):
        model.predict(normalized)
    with clock.stage("objects"):
        found, _ = model._instances_from_prediction(image.shape, *perfect, prob_thresh=0.48)  # noqa: SLF001
    return summary(clock, int(found.max()))


def instanseg(image: Array, labels: Array) -> Row:  # noqa: ARG001 - one signature for all
    """Predict with the architecture of brightfield_nuclei, in tiles as the package cuts them.

    What it makes of untrained outputs depends on chance: its objects and their time say nothing.
    """
    clock = Clock()
    with clock.stage("import"):
        import torch
        from instanseg import InstanSeg
        from instanseg.utils.loss.instanseg_loss import InstanSeg as Loss
        from instanseg.utils.loss.instanseg_loss import InstanSeg_Torchscript
        from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet
    with clock.stage("build the network"):
        torch.manual_seed(0)
        network = InstanSeg_UNet(in_channels=3, out_channels=[[2, 2, 1]])
        loss = Loss(n_sigma=2, device="cpu")
        network = loss.initialize_pixel_classifier(network, MLP_width=5)
        wrapped = InstanSeg_Torchscript(network, pixel_size=0.5)
        clock.watch(wrapped, "_call_impl", "objects")
        wrapped.fcn = watched_module(clock, wrapped.fcn)
        wrapped.graph = ""  # of the compiled module, in which options are looked up
        model = InstanSeg(wrapped, device="cpu", verbosity=0)
    three = np.repeat(image[None].astype(np.float32), 3, axis=0)
    with clock.stage("normalize, tiles and seams"), torch.inference_mode():
        found = model.eval_medium_image(three, pixel_size=0.5, return_image_tensor=False)
    return summary(clock, len(np.unique(found.numpy())) - 1)


def watched_module(clock: Clock, network: nn.Module) -> nn.Module:
    """Return a module that counts the time of another one as that of the network."""
    import torch

    class Watched(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            with clock.stage("network"):
                found: torch.Tensor = network(images)
            return found

    return Watched()


def summary(clock: Clock, objects: int) -> Row:
    """Return what a column says."""
    return {"stages": clock.seconds(), "peak": peak(), "objects": objects}


PEERS = {"stardist": stardist, "instanseg": instanseg}
