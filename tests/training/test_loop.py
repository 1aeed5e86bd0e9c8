from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn

from pancyte.errors import UsageError
from pancyte.training.loop import EpochReport, TrainingState, fit, start_state
from pancyte.training.optim import Optimization

SETTINGS = Optimization(learning_rate=0.02, warmup_steps=2, average_decay=0.9)


@dataclasses.dataclass(frozen=True)
class EdgeTask:
    """Learn to see where an image is bright, with dropout so that torch's generator is used."""

    spoil_at: int | None = None
    calls: list[int] = dataclasses.field(default_factory=list)

    def network(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
            nn.Conv2d(8, 1, 3, padding=1),
        )  # fmt: skip

    def losses(
        self, network: nn.Module, images: Tensor, targets: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        logits = network(images).float()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets["foreground"])
        self.calls.append(len(images))
        broken = self.spoil_at is not None and len(self.calls) > self.spoil_at
        size = logits.square().mean() * (float("nan") if broken else 0.01)
        return {"bce": loss, "size": size}


def batches(start: int = 0, *, distinct: int = 1000) -> Iterator[dict[str, Tensor]]:
    """Yield endless batches, each a function of its number, from number ``start``."""
    for number in itertools.count(start):
        generator = torch.Generator().manual_seed(number % distinct)
        image = torch.rand(2, 1, 12, 12, generator=generator)
        yield {"image": image, "foreground": (image > 0.5).float()}


def new_state(task: EdgeTask, steps: int, settings: Optimization = SETTINGS) -> TrainingState:
    return start_state(task.network(), settings, steps=steps, precision=torch.float32)


def run(state: TrainingState, task: EdgeTask, **options: object) -> list[EpochReport]:
    settings = options.pop("settings", SETTINGS)
    stream = options.pop("stream", batches(state.step * settings.accumulate))
    return list(fit(task, state, stream, settings=settings, epoch_steps=4, **options))


def test_a_report_is_the_mean_of_the_steps_since_the_last_one() -> None:
    """A time limit may move the end, so that an epoch is reported in two parts."""
    task = EdgeTask()
    state = new_state(task, 6)
    first = run(state, task, stream=batches(distinct=1))
    assert [report.step for report in first] == [4, 6]
    state.steps = 7
    (rest,) = run(state, task, stream=batches(distinct=1))
    assert rest.step == 7
    assert rest.losses["total"] > 0.8 * first[-1].losses["total"]


def test_fit_overfits_one_batch() -> None:
    task = EdgeTask()
    state = new_state(task, 40)
    reports = run(state, task, stream=batches(distinct=1))
    assert [report.epoch for report in reports] == list(range(1, 11))
    assert [report.step for report in reports] == list(range(4, 41, 4))
    assert reports[-1].losses["total"] < 0.5 * reports[0].losses["total"]
    named = reports[0].losses
    assert named["total"] == pytest.approx(named["bce"] + named["size"])
    assert reports[-1].learning_rate == pytest.approx(0.01 * SETTINGS.learning_rate)


def test_fit_shortens_the_last_epoch() -> None:
    task = EdgeTask()
    reports = run(new_state(task, 10), task)
    assert [report.step for report in reports] == [4, 8, 10]
    assert len(task.calls) == 10


@pytest.mark.parametrize("stop", [8, 6], ids=["between epochs", "within an epoch"])
def test_stop_and_resume_equals_no_stop_bit_for_bit(stop: int) -> None:
    task = EdgeTask()
    whole = new_state(task, 16)
    reports = run(whole, task)

    first = new_state(task, 16)
    stream = itertools.islice(batches(), stop)
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(first, task, stream=stream)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)

    torch.rand(100)  # whatever the process did in between
    second = new_state(task, 16)
    second.load_state_dict(torch.load(saved, weights_only=True))
    rest = run(second, task)

    for part in ("network", "average", "optimizer", "random"):
        assert_same_bits(second.state_dict()[part], whole.state_dict()[part])
    assert [r.losses for r in rest] == [r.losses for r in reports[-len(rest) :]]


def test_a_state_of_old_without_the_number_of_its_steps_reports_the_steps_that_follow() -> None:
    task = EdgeTask()
    first = new_state(task, 8)
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(first, task, stream=itertools.islice(batches(distinct=1), 7))
    old = {name: value for name, value in first.state_dict().items() if name != "summed"}
    second = new_state(task, 8)
    second.load_state_dict(old)
    (report,) = run(second, task, stream=batches(distinct=1))
    assert report.losses["total"] < 1.2 * first.sums["total"] / first.summed


def assert_same_bits(left: object, right: object) -> None:
    if isinstance(left, Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, Mapping):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_bits(left[key], right[key])
    elif isinstance(left, list):
        for a, b in zip(left, right, strict=True):
            assert_same_bits(a, b)
    else:
        assert left == right


def test_accumulated_batches_equal_one_large_batch() -> None:
    task = EdgeTask()
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    ends = []
    for accumulate in (1, 2):
        settings = dataclasses.replace(SETTINGS, accumulate=accumulate)
        network.load_state_dict(weights)
        state = start_state(network, settings, steps=3, precision=torch.float32)
        small = batches()
        pairs = (
            {k: torch.cat([a[k], b[k]]) for k in a} for a, b in zip(small, small, strict=False)
        )
        run(state, task, settings=settings, stream=batches() if accumulate == 2 else pairs)
        ends.append({name: value.clone() for name, value in network.state_dict().items()})
    torch.testing.assert_close(ends[0], ends[1])


def test_shortening_a_run_bends_the_schedule_to_its_end() -> None:
    task = EdgeTask()
    state = new_state(task, 40)
    rates = []
    epochs = fit(task, state, batches(), settings=SETTINGS, epoch_steps=4)
    for report in epochs:
        rates.append(report.learning_rate)
        if report.step == 8:
            state.steps = 20
    assert state.step == 20
    assert len(rates) == 5
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(0.01 * SETTINGS.learning_rate)


def test_clipping_bounds_the_step() -> None:
    task = EdgeTask()
    moved = []
    for clip in (None, 1e-4):
        settings = Optimization(
            optimizer="sgd", learning_rate=1.0, weight_decay=0.0, warmup_steps=0,
            schedule="constant", clip_norm=clip,
        )  # fmt: skip
        state = new_state(task, 1, settings)
        before = [parameter.detach().clone() for parameter in state.network.parameters()]
        run(state, task, settings=settings)
        steps = [(a - b).detach() for a, b in zip(before, state.network.parameters(), strict=True)]
        moved.append(float(torch.cat([step.flatten() for step in steps]).norm()))
    assert moved[0] > 1e-2
    assert moved[1] == pytest.approx(1e-4, rel=1e-2)


def test_bfloat16_keeps_weights_in_float32_and_the_loss_near() -> None:
    task = EdgeTask()
    losses = {}
    for precision in (torch.float32, torch.bfloat16):
        state = new_state(task, 8)
        losses[precision] = run(state, task, precision=precision)[-1].losses["total"]
        assert {value.dtype for value in state.network.parameters()} == {torch.float32}
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=0.02)
    assert losses[torch.bfloat16] != losses[torch.float32]


def test_saved_network_is_the_average_where_there_is_one() -> None:
    task = EdgeTask()
    state = new_state(task, 2)
    assert state.saved_network is state.average.network
    plain = new_state(task, 2, dataclasses.replace(SETTINGS, average_decay=None))
    assert plain.saved_network is plain.network


def test_a_loss_that_is_not_finite_names_the_step_and_the_terms() -> None:
    task = EdgeTask(spoil_at=5)
    state = new_state(task, 8)
    with pytest.raises(UsageError, match=r"not finite at step 6: bce=0\.\d+, size=nan\. Lower"):
        run(state, task)
    assert state.step == 5
    assert all(value.isfinite().all() for value in state.network.state_dict().values())


@pytest.mark.parametrize("clip_norm", [1.0, None])
def test_a_gradient_that_is_not_finite_names_the_step(clip_norm: float | None) -> None:
    class RootTask(EdgeTask):
        def losses(self, network: nn.Module, images: Tensor, targets: object) -> dict[str, Tensor]:
            # sqrt has an infinite slope at 0, where its value is finite.
            return {"root": (network(images) * 0).abs().sum().sqrt()}

    task = RootTask()
    settings = dataclasses.replace(SETTINGS, clip_norm=clip_norm)
    state = new_state(task, 2, settings)
    with pytest.raises(UsageError, match=r"gradient is not finite at step 1 \(norm (nan|inf)\)"):
        run(state, task, settings=settings)
    assert all(value.isfinite().all() for value in state.network.state_dict().values())


@pytest.mark.gpu
def test_float16_scales_the_loss_on_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    task = EdgeTask()
    state = start_state(task.network().cuda(), SETTINGS, steps=12, precision=torch.float16)
    reports = run(state, task, precision=torch.float16, stream=batches(distinct=1))
    assert reports[-1].losses["total"] < reports[0].losses["total"]
    assert state.scaler.get_scale() > 1


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_the_loss_is_finite_in_every_precision_of_cuda(precision: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    task = EdgeTask()
    state = start_state(task.network().cuda(), SETTINGS, steps=4, precision=precision)
    (report,) = run(state, task, precision=precision)
    assert all(math.isfinite(value) for value in report.losses.values())
