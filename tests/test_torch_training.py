"""Training with crnn.torch and with torch.nn: the same losses from the same seed."""

import pytest
from twins import counted, every_cell

STEPS = 100

NETWORKS = {
    "one layer": {"num_layers": 1},
    "stacked and bidirectional, dropout": {
        "num_layers": 2,
        "bidirectional": True,
        "batch_first": True,
        "dropout": 0.2,
    },
    "relu": {"num_layers": 2, "nonlinearity": "relu"},
}


def losses(torch, rnn, optimizer, ragged, **options):
    """The losses of a classifier of noisy sines by their frequency."""
    torch.manual_seed(7)
    T, B, classes = 24, 16, 4
    net = rnn(3, 24, **options)
    head = torch.nn.Linear(24 * (1 + net.bidirectional), classes)
    parameters = [*net.parameters(), *head.parameters()]
    make = {
        "SGD": lambda: torch.optim.SGD(parameters, 0.01, momentum=0.8),
        "Adam": lambda: torch.optim.Adam(parameters, 0.001, weight_decay=1e-4),
    }[optimizer]
    steps, found = torch.arange(T).float()[:, None, None], []
    optimizer = make()
    for _ in range(STEPS):
        labels = torch.randint(classes, (B,))
        waves = torch.sin(steps * (1 + labels)[None, :, None] / 3 + torch.rand(B, 3))
        x = waves + 0.5 * torch.randn(T, B, 3)
        if ragged:
            lengths = torch.randint(T // 2, T + 1, (B,))
            x = torch.nn.utils.rnn.pack_padded_sequence(
                x, lengths, enforce_sorted=False
            )
        elif net.batch_first:
            x = x.transpose(0, 1)
        output, h_n = net(x)
        last = h_n[-1 - net.bidirectional :].transpose(0, 1).flatten(1)
        if not ragged:  # dropout draws in the order of output's memory
            output = torch.nn.functional.dropout(output, 0.2)
            last = last + output.mean(int(net.batch_first))
        loss = torch.nn.functional.cross_entropy(head(last), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        found.append(loss.item())
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("ragged", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_losses(torch, name, optimizer, ragged):
    """To 1e-5 relative over a hundred steps.

    Rates are modest: at higher ones torch itself, run in float32 and in float64, parts
    sooner than that.
    """
    import crnn.torch

    right = losses(torch, torch.nn.RNN, optimizer, ragged, **NETWORKS[name])
    with counted() as made:
        found = losses(torch, crnn.torch.RNN, optimizer, ragged, **NETWORKS[name])
    assert len(made) == STEPS
    assert right[-20:].mean() < right[:20].mean()  # it does learn
    worst = ((found - right).abs() / right.abs()).max().item()
    assert worst <= 1e-5, worst


@every_cell()
def test_losses_of_a_cell(torch):
    """A loop over a cell."""
    import crnn.torch

    curves = []
    for kind in torch.nn.RNNCell, crnn.torch.RNNCell:
        torch.manual_seed(3)
        cell, head = kind(2, 16), torch.nn.Linear(16, 1)
        parameters = [*cell.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, 0.01)
        curve = []
        for _ in range(STEPS):
            x = torch.randn(6, 64, 2)
            h = None
            for step in x:
                h = cell(step, h)
            loss = (head(h)[:, 0] - x[-2:, :, 0].sum(0)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves.append(torch.tensor(curve, dtype=torch.float64))
    assert ((curves[1] - curves[0]).abs() / curves[0]).max() <= 1e-5
    assert curves[0][-1] < 0.5 * curves[0][0]
