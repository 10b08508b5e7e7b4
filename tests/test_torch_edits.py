"""Edits in place between forward and backward: refused or survived just as in torch."""

import pytest
from twins import assert_same_gradients, edited_raises, loss_of, twins

I, H, B = 3, 4, 2  # noqa: E741

CASES = [
    (3, {}),
    (1, {}),
    (3, {"bidirectional": True}),
    (3, {"num_layers": 2}),
    (1, {"num_layers": 2, "bidirectional": True}),
    (3, {"num_layers": 2, "bias": False, "nonlinearity": "relu"}),
    (3, {"num_layers": 2, "batch_first": True}),
]
# Which of input, hx and the parameters need no gradient: by index, from a pattern.
PATTERNS = ["", "x", "h", "xh", "xhw", "xhu", "xhb", "w", "u", "xhbw", "xhbu", "wu"]


def freeze(net, x, hx, pattern):
    x.requires_grad_("x" not in pattern)
    hx.requires_grad_("h" not in pattern)
    for name, parameter in net.named_parameters():
        kind = {"weight_ih": "w", "weight_hh": "u"}.get(name[:9], "b")
        parameter.requires_grad_(kind not in pattern or name.endswith("l1"))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("T", "options"), CASES, ids=str)
def test_every_operand(torch, T, options, pattern):
    """Backward refuses the same edits, and is right after all others."""
    shape = (B, T, I) if options.get("batch_first") else (T, B, I)
    plain, ours = twins(I, H, **options)
    states = plain.num_layers * (1 + plain.bidirectional)
    count = 2 + len(plain._flat_weights)
    for index in range(-1, count):
        refused = []
        for net in plain, ours:
            torch.manual_seed(1)
            net.zero_grad()
            leaves = x, hx = torch.randn(shape), torch.randn(states, B, H)
            freeze(net, x, hx, pattern)
            operands = [leaf.clone() for leaf in leaves]
            output, h_n = net(*operands)
            if not output.requires_grad:
                return
            with torch.no_grad():
                if index < 0:
                    output.mul_(2)
                    h_n.zero_()
                else:
                    [*operands, *net._flat_weights][index].add_(0.25)
            loss = loss_of((output, h_n))
            refused.append(edited_raises(loss.backward))
            results = [*leaves, *net.parameters()]
            if net is plain:
                right = results
        assert refused[0] == refused[1], (index, refused)
        if not refused[0]:
            assert_same_gradients(results, right)
