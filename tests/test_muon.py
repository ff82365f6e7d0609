"""Muon beside torch's own, and beside AdamW."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from dl.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 75), (75, 8), (32, 32)])
@pytest.mark.usefixtures("float32")
def test_orthogonal_keeps_the_directions_and_evens_out_their_lengths(shape):
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    lengths = torch.logspace(0, -2, len(right))
    result = orthogonal(left * lengths @ right)
    across = left.T @ result @ right.T  # diagonal where the directions are the same
    torch.testing.assert_close(across, across.diagonal().diag(), rtol=0, atol=1e-4)
    assert ((across.diagonal() > 0.3) & (across.diagonal() < 1.3)).all()
    torch.testing.assert_close(left @ across @ right, result, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("float32")
def test_nothing_to_follow_is_no_step():
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.usefixtures("float32")
def test_kernels_step_as_by_torchs_muon_and_the_rest_as_by_adamw():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 5), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(16, 4))
    start = deepcopy(net)
    kernel = nn.Parameter(net[0].weight.detach().flatten(1).clone())
    first = kernel.detach().clone()
    others = [name for name, _ in net.named_parameters() if name != "0.weight"]
    ours = Muon([{"params": net.parameters(), "weight_decay": 0.1}], lr=0.02)
    theirs = torch.optim.Muon([kernel], 0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([start.get_parameter(name) for name in others], 0.02, weight_decay=0.1)
    for _ in range(3):
        for name, parameter in net.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            if name in others:
                start.get_parameter(name).grad = parameter.grad.clone()
        kernel.grad = net[0].weight.grad.flatten(1).clone()
        before = net[0].weight.detach().clone()
        for optimizer in (ours, theirs, adamw):
            optimizer.step()
        step = net[0].weight - before * (1 - 0.02 * 0.1)
        assert step.square().mean().sqrt().item() == pytest.approx(0.2 * 0.02, rel=0.2)  # AdamW's, as a rule
    way = (kernel - net[0].weight.flatten(1)).norm() / (kernel - first).norm()
    assert way < 0.03  # torch's orthogonalises in bfloat16
    for name in others:
        torch.testing.assert_close(net.get_parameter(name), start.get_parameter(name))


def test_what_has_no_gradient_stays():
    layer = nn.Conv2d(3, 4, 3)
    before, optimizer = layer.weight.detach().clone(), Muon([{"params": layer.parameters()}], lr=0.1)
    optimizer.step()
    assert torch.equal(layer.weight, before)
    assert not optimizer.state
