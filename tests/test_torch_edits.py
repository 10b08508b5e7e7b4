"""Edits in place between forward and backward: refused or survived just as in torch."""

import pytest
from twins import assert_same_gradients, edited_raises, every_cell, loss_of, twins

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


def test_what_an_optimizer_does_between(torch):
    """The words of torch; biases alone may change, and do not change the gradient."""
    plain, ours = twins(I, H, 2)
    x = torch.randn(3, B, I)
    for net in plain, ours:
        loss = loss_of(net(x))
        loss.backward(retain_graph=True)
        torch.optim.SGD(net.parameters(), 0.1).step()
        with pytest.raises(
            RuntimeError,
            match="one of the variables needed for gradient computation has been "
            r"modified by an inplace operation: \[torch.FloatTensor",
        ):
            loss.backward()
        net.zero_grad()
        loss = loss_of(net(x))
        biases = [p for n, p in net.named_parameters() if n.startswith("bias")]
        with torch.no_grad():
            torch._foreach_add_(biases, 1.0)
        loss.backward()
    assert_same_gradients(ours.parameters(), plain.parameters())
    (first,) = torch.autograd.grad(loss_of(ours(x)), ours.bias_ih_l0, create_graph=True)
    assert first.requires_grad
    loss = loss_of(ours(x))
    with torch.no_grad():
        ours.bias_ih_l0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, ours.bias_ih_l0, create_graph=True)


@pytest.mark.parametrize("T", [3, 1])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}], ids=str)
def test_edits_of_results(torch, options, T):
    """Allowed, also where a layer above is tied in: autograd has its own copy."""
    plain, ours = twins(I, I, 2, **options)
    shape = (B, T, I) if options else (T, B, I)
    x = torch.randn(shape, requires_grad=True)
    found = []
    for net in plain, ours:
        x.grad = None
        output, h_n = net(x)
        output += x
        torch.nn.functional.relu_(output)
        h_n.mul_(3)
        loss = loss_of((output, h_n))
        loss.backward()
        found.append(x.grad)
    assert_same_gradients(ours.parameters(), plain.parameters())
    assert torch.allclose(*found, atol=1e-5)


def test_edits_of_packed_and_unbatched_results(torch):
    plain, ours = twins(I, H)
    given = torch.nn.utils.rnn.pack_sequence([torch.randn(3, I), torch.randn(2, I)])
    for net in plain, ours:
        output, h_n = net(given)
        output.data.mul_(2)
        h_n.zero_()
        single, state = net(torch.randn(3, I).fill_(0.5))
        single.mul_(2)
        state.mul_(2)
        loss_of((output, h_n, single, state)).backward()
    assert_same_gradients(ours.parameters(), plain.parameters())


def test_residual_connection_in_place(torch):
    """Batch first, torch reads a copy of the input, so `x += rnn(x)` is legal."""
    plain, ours = twins(I, I, batch_first=True)
    found = []
    for net in plain, ours:
        torch.manual_seed(0)
        leaf = torch.randn(B, 3, I, requires_grad=True)
        x = leaf * 2
        x += net(x)[0]
        loss_of(x).backward()
        found.append(leaf.grad)
    assert_same_gradients(ours.parameters(), plain.parameters())
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize("rows", [2, 100])
@every_cell()
def test_a_cells_result_must_stay(torch, rows):
    for net in twins(I, H, kind="RNNCell"):
        for edit in None, "x", "hx", "h", "weight_hh", "bias_ih":
            x, hx = torch.randn(rows, I), torch.randn(rows, H)
            h = net(x, hx)
            with torch.no_grad():
                edited = {"x": x, "hx": hx, "h": h}.get(edit)
                if edited is None and edit is not None:
                    edited = getattr(net, edit)
                if edited is not None:
                    edited.mul_(1)
            raises = edited_raises(h.sum().backward)
            assert raises == (edit in {"x", "hx", "h"}), edit


def test_data_is_read_at_every_call(torch):
    """Edits that leave no trace in a version are seen."""
    plain, ours = twins(I, H)
    x = torch.randn(3, B, I)
    edits = [
        lambda net: net.weight_hh_l0.data.fill_(0.125),
        lambda net: setattr(net.weight_ih_l0, "data", torch.ones(H, I)),
        lambda net: net.bias_hh_l0.data.copy_(torch.arange(H) / 8),
        lambda net: net.weight_hh_l0.detach().numpy().__setitem__(0, 0.5),
        lambda net: torch.nn.init.xavier_uniform_(net.weight_ih_l0.data).fill_(0.25),
        lambda net: net.weight_hh_l0.detach().copy_(torch.ones(H, H).div(4)),
    ]
    for edit in edits:
        before = ours(x)[0]
        for net in plain, ours:
            edit(net)
        assert not torch.equal(ours(x)[0], before)
        assert torch.allclose(ours(x)[0], plain(x)[0], atol=1e-6)
        with torch.no_grad():
            assert torch.allclose(ours(x)[0], plain(x)[0], atol=1e-6)
