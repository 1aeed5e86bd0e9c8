import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pancyte.nn.compact import CompactNet
from pancyte.nn.folding import FoldedStep, fold


def trained(seed=0, **settings):
    """Return a network whose batch norms have seen something, so that folding has work to do."""
    torch.manual_seed(seed)
    network = CompactNet(2, **settings)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


NETWORKS = {padding: trained(padding=padding) for padding in ("zeros", "replicate")}
FOLDED = {padding: fold(network) for padding, network in NETWORKS.items()}


@given(
    padding=st.sampled_from(("zeros", "replicate")),
    height=st.integers(1, 100),
    width=st.integers(1, 100),
    seed=st.integers(0, 100),
)
@settings(max_examples=20, deadline=None)
def test_folded_network_says_the_same(padding, height, width, seed):
    images = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))

    with torch.inference_mode():
        expected, found = NETWORKS[padding](images), FOLDED[padding](images)
        embedded = NETWORKS[padding].embed(images), FOLDED[padding].embed(images)

    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*embedded, rtol=1e-4, atol=1e-4)


def test_folded_network_says_the_same_in_float64_to_the_last_digits():
    network = trained(seed=1, padding="replicate").double()
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)

    with torch.inference_mode():
        expected, found = network(images), fold(network, torch.float64)(images)

    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_folded_network_sees_the_same_sizes(padding):
    network = trained(padding=padding, sizes=True)
    images = torch.rand(2, 3, 50, 70)

    with torch.inference_mode():
        expected, found = (n.estimate_sizes(images) for n in (network, fold(network)))
        outputs, folded = network(images), fold(network)(images)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(folded, outputs, rtol=1e-4, atol=1e-4)


def test_folded_network_has_no_batch_norms_and_no_gradients():
    modules = list(FOLDED["zeros"].modules())

    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    assert sum(isinstance(module, FoldedStep) for module in modules) == 5
    assert not any(parameter.requires_grad for parameter in FOLDED["zeros"].parameters())


def test_folding_leaves_the_network_and_the_generator_of_random_numbers_alone():
    network = trained().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()

    fold(network)

    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_folded_network_in_bfloat16_is_as_near_as_autocast(padding):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = fold(NETWORKS[padding], torch.bfloat16)

    with torch.inference_mode():
        exact = NETWORKS[padding](images)["flow"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast, found = (n(images)["flow"].float() for n in (NETWORKS[padding], folded))

    assert {parameter.dtype for parameter in folded.parameters()} == {torch.bfloat16}
    assert (found - exact).square().mean() < 2 * (cast - exact).square().mean()
