import copy
from dataclasses import replace

import numpy as np
import torch
from tests.inference.stubs import BrightNetwork, BrightTask
from torch import nn

from pancyte.inference.model import Model
from pancyte.inference.prepared import Prepared
from pancyte.ops.preprocess import Preprocessing

TASK = BrightTask(Preprocessing(percentiles=(0.0, 100.0), diameter=None))


class Trainable(BrightNetwork):
    """Sees what is bright; its weights change nothing."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)


class Counting(Trainable):
    runs = 0

    def forward(self, images):
        self.runs += 1
        return super().forward(images)


def prepared_model():
    network = Trainable()
    return Model(TASK, network, prepared=Prepared(Counting(), network, "float32"))


def runs_faster(model):
    """Whether the faster network was run for an image."""
    image = np.zeros((20, 30))
    image[5:9, 5:12] = 1.0
    before = model.prepared.network.runs
    assert model.segment(image).objects.num_objects == 1
    return model.prepared.network.runs > before


def test_the_faster_network_is_run():
    assert runs_faster(prepared_model())


def test_flips_and_further_models_are_run_by_their_faster_networks_too():
    first, second = prepared_model(), prepared_model()

    assert runs_faster(replace(first, others=(second,), flips=3))
    assert second.prepared.network.runs == 3


def test_a_change_that_torch_does_not_count_is_noticed():
    model = prepared_model()
    model.network.norm.weight.data.mul_(2.0)

    assert not runs_faster(model)


def test_a_network_made_in_inference_mode_is_prepared():
    with torch.inference_mode():
        model = prepared_model()

    assert runs_faster(model)


def test_a_network_that_was_changed_is_run_itself():
    model = prepared_model()
    with torch.no_grad():
        model.network.norm.weight.mul_(2.0)
    assert not runs_faster(model)

    model = prepared_model()
    model.network.norm.train()(torch.rand(2, 2, 4, 4))
    assert not runs_faster(model)

    model = prepared_model()
    model.network.load_state_dict(copy.deepcopy(model.network.state_dict()))
    assert not runs_faster(model)

    model = prepared_model()
    model.network.double()
    assert not runs_faster(model)


def test_another_network_and_another_precision_are_run_themselves():
    assert not runs_faster(replace(prepared_model(), network=Trainable()))
    assert not runs_faster(replace(prepared_model(), precision="bfloat16"))
