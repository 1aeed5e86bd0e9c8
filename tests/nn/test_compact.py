import pytest
import torch

from pancyte.nn.compact import CompactNet, pad_to_multiple


@pytest.fixture(scope="module", autouse=True)
def _one_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("num_classes", [1, 2, 3, 5])
def test_network_has_one_foreground_and_two_flow_channels_per_class(num_classes):
    network = CompactNet(num_classes).eval()

    with torch.inference_mode():
        outputs = network(torch.rand(2, 3, 40, 70))

    assert outputs["foreground"].shape == (2, num_classes, 40, 70)
    assert outputs["flow"].shape == (2, 2 * num_classes, 40, 70)


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4, 5])
def test_network_takes_any_number_of_channels(in_channels):
    network = CompactNet(1, in_channels=in_channels).eval()

    with torch.inference_mode():
        assert network(torch.rand(1, in_channels, 32, 32))["flow"].isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (31, 33), (64, 2), (17, 160)])
def test_network_takes_any_size(size):
    network = CompactNet(1).eval()

    with torch.inference_mode():
        outputs = network(torch.rand(1, 3, *size))

    assert outputs["foreground"].shape == (1, 1, *size)
    assert outputs["foreground"].isfinite().all()


def test_network_output_of_an_aligned_image_does_not_depend_on_padding_it_itself():
    network = CompactNet(1).eval()
    image = torch.rand(1, 3, 50, 64)

    with torch.inference_mode():
        alone = network(image)["flow"]
        padded = network(pad_to_multiple(image, 32))["flow"][..., :50, :]

    torch.testing.assert_close(alone, padded)


def test_network_is_compact():
    count = sum(parameter.numel() for parameter in CompactNet(1).parameters())
    one_more = sum(parameter.numel() for parameter in CompactNet(2).parameters())

    assert count < 4_000_000
    assert one_more - count == 3 * (16 * 9 + 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (33, 62), (64, 96)])
def test_network_with_sizes_tells_them_for_every_fourth_pixel(size):
    network = CompactNet(2, sizes=True).eval()
    coarse = tuple(-(-side // 4) for side in size)
    image = torch.rand(2, 3, *size)

    with torch.inference_mode():
        outputs = network(image)
        probability, sizes = network.estimate_sizes(image)

    assert outputs["size"].shape == outputs["coarse"].shape == (2, 2, *coarse)
    torch.testing.assert_close(sizes, outputs["size"])
    torch.testing.assert_close(probability, outputs["coarse"].sigmoid())


def test_network_without_sizes_estimates_none():
    network = CompactNet(1).eval()

    assert network.estimate_sizes(torch.rand(1, 3, 32, 32)) is None
    assert set(network(torch.rand(1, 3, 32, 32))) == {"foreground", "flow"}


def test_network_with_sizes_has_the_other_weights_of_one_without():
    torch.manual_seed(3)
    plain = CompactNet(1).state_dict()
    torch.manual_seed(3)
    network = CompactNet(1, sizes=True)

    own = network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in plain.items())
    assert set(own) - set(plain) == {
        f"size_head.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    image = torch.rand(1, 3, 32, 32)
    with_sizes = network.eval()(image)["flow"]
    older = CompactNet(1)
    older.load_state_dict(plain)
    torch.testing.assert_close(with_sizes, older.eval()(image)["flow"])


def test_pad_to_multiple_mirrors_and_repeats_where_it_cannot():
    image = torch.tensor([[[[1.0, 2.0, 3.0]]]])

    torch.testing.assert_close(
        pad_to_multiple(image, 4), torch.tensor([1.0, 2.0, 3.0, 2.0]).expand(1, 1, 4, 4)
    )


def test_network_refuses_another_number_of_channels():
    with pytest.raises(ValueError, match=r"\(B, 3, Y, X\), but got \(1, 1, 32, 32\)"):
        CompactNet(1)(torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize("settings", [{"num_classes": 0}, {"num_classes": 1, "in_channels": 0}])
def test_network_refuses_no_classes_or_channels(settings):
    with pytest.raises(ValueError, match="to be at least 1, but got 0"):
        CompactNet(**settings)


@pytest.mark.parametrize(("padding", "even"), [("replicate", True), ("zeros", False)])
def test_decoder_step_keeps_even_features_even_with_replicated_padding(padding, even):
    step = CompactNet(1, padding=padding).eval().decoder[1]

    with torch.inference_mode():
        mixed = step(torch.ones(1, 128, 4, 4), torch.ones(1, 40, 8, 8))

    spread = mixed.amax(dim=(2, 3)) - mixed.amin(dim=(2, 3))
    assert (spread.max().item() < 1e-5) == even
