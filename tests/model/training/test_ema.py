import torch
from torch import nn

from model.training.ema import MovingAverage


def test_follows_the_weights_and_copies_counters():
    network = nn.BatchNorm1d(1)
    average = MovingAverage(network, decay=0.5)
    network.weight.data.fill_(3.0)
    network.num_batches_tracked.fill_(7)
    average.update(network)  # decay (1 + 0) / (10 + 0): a tenth of the old 1.0, nine tenths of 3.0
    torch.testing.assert_close(average.values["weight"], torch.tensor([2.8]))
    assert average.values["num_batches_tracked"].item() == 7
    for _ in range(60):
        average.update(network)
    torch.testing.assert_close(average.values["weight"], torch.tensor([3.0]))


def test_all_at_once_is_as_one_by_one():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    average = MovingAverage(network, decay=0.998)
    before = {name: value.clone() for name, value in average.values.items()}
    network(torch.rand(2, 3, 8, 8))
    nn.init.normal_(network[0].weight)
    average.update(network)
    for name, tensor in network.state_dict().items():
        expected = before[name].lerp(tensor, 1 - 1 / 10) if tensor.is_floating_point() else tensor
        assert torch.equal(average.values[name], expected), name


def test_goes_on_where_it_was_saved():
    network = nn.Linear(2, 2)
    first = MovingAverage(network, 0.9)
    first.update(network)
    second = MovingAverage(nn.Linear(2, 2), 0.9)
    second.load_state_dict({k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in first.state_dict().items()})
    network.weight.data += 1
    for average in (first, second):
        average.update(network)
    assert torch.equal(first.values["weight"], second.values["weight"])
    assert second.steps == 2
