"""Random weights that detect as much as trained ones."""

import pytest
import torch
from torch import nn

from benchmarks.common.calibration import decide, settle


def test_a_network_takes_the_statistics_of_what_it_is_shown_and_decides():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Conv2d(8, 5, 1, bias=False))
    noise = 100 + 50 * torch.rand(1, 3, 32, 32)
    settle(network, lambda: network(noise))
    assert not any(module.training for module in network.modules())
    assert network[:2](noise).mean().abs() < 1e-3 and abs(network[:2](noise).std() - 1) < 0.01
    decide([network[3]], lambda: network(noise))
    assert network(noise).std().item() == pytest.approx(3, rel=1e-3)
