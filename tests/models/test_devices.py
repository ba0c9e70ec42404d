"""Batches are halved when memory runs out, on any device, and the size that fits is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from tests.models.networks import linear_generator
from workbench.models import Batches, ModelError
from workbench.models.devices import batch_size_for, is_out_of_memory, resolve_device


class FakeMemory:
    """A function that doubles its input, on a device that holds `rows` rows."""

    def __init__(self, rows: int, error: Exception) -> None:
        self.rows, self.error = rows, error
        self.sizes: list[int] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.rows:
            raise self.error
        return 2 * x


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_until_it_fits(error: Exception) -> None:
    memory = FakeMemory(rows=5, error=error)
    batches = Batches(64)
    x = torch.arange(50.0)
    assert torch.equal(batches.map(memory, x), 2 * x)
    assert memory.sizes[:5] == [50, 25, 12, 6, 3]
    assert batches.size == 3
    memory.sizes.clear()
    batches.map(memory, x)
    assert max(memory.sizes) == 3


def test_a_single_row_that_does_not_fit_raises_the_devices_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Batches(8).map(FakeMemory(0, torch.OutOfMemoryError("out of memory")), torch.zeros(4))


def test_other_errors_are_not_retried() -> None:
    memory = FakeMemory(2, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="multiplied"):
        Batches(8).map(memory, torch.zeros(8))
    assert memory.sizes == [8]


def test_no_rows_give_no_rows() -> None:
    assert Batches(4).map(lambda x: x * 2, torch.zeros(0, 3)).shape == (0, 3)


def test_a_generator_survives_running_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    G = wb.Generator(linear_generator(), 6, device="cpu", value_range=(-4, 4))
    expected = G.sample(40).outputs
    forward = G._forward

    def failing(z: Tensor) -> Tensor:
        if len(z) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(z)

    monkeypatch.setattr(G, "_forward", failing)
    assert torch.allclose(G.sample(40).outputs, expected)
    assert G.batches.size <= 10


def test_the_first_batch_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.models.devices.free_memory", lambda device: 1000)
    assert batch_size_for(10, torch.device("cpu")) == 25
    assert batch_size_for(10**6, torch.device("cpu")) == 1


def test_ordinary_errors_are_no_memory_errors() -> None:
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("n", [10**13, 10**30])
def test_more_than_the_memory_holds_is_refused_before_it_is_tried(n: int) -> None:
    G = wb.Generator(nn.Sequential(nn.Linear(4, 9), nn.Tanh()), latent_shape=(4,), device="cpu")
    for call in (G.latents, G.sample):
        with pytest.raises(ModelError, match="Ask for fewer"):
            call(n)


def test_the_meta_device_is_none_to_run_on() -> None:
    with pytest.raises(ModelError, match="not on this machine"):
        resolve_device("meta")
