"""crnn.torch where a tensor's storage is freed, made smaller or moved: as torch."""

import pytest
from twins import assert_near, assert_same_gradients, loss_of, twins

I, H, T, B = 3, 4, 5, 2  # noqa: E741

TENSORS = pytest.mark.parametrize("which", ["weight_ih_l0", "weight_hh_l1", "x", "hx"])


def operands(torch, net):
    """The tensors of a call by name, those of the network too."""
    torch.manual_seed(0)
    x = torch.randn(T, B, I, requires_grad=True)
    hx = torch.randn(2, B, H, requires_grad=True)
    return {"x": x, "hx": hx, **dict(net.named_parameters())}


def outcome(torch, net, which, before, after):
    """What an error says, or None, where these change the storage of a tensor."""
    tensors = operands(torch, net)
    storage = tensors[which].untyped_storage()
    try:
        before(storage)
        loss = loss_of(net(tensors["x"], tensors["hx"]))
        after(storage)
        loss.backward()
    except RuntimeError as error:
        return str(error)


def nothing(storage):
    pass


@TENSORS
@pytest.mark.parametrize("size", [0, 8])
@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_storage(torch, which, size, when):
    """The core reads nothing beyond it, and what torch refuses is refused."""

    def lose(storage):
        storage.resize_(size)

    changes = (lose, nothing) if when == "before" else (nothing, lose)
    plain, ours = (outcome(torch, net, which, *changes) for net in twins(I, H, 2))
    assert ours is not None or plain is None


@TENSORS
def test_moved_storage(torch, which):
    """Freed and filled again, elsewhere, as sharded training does."""
    pair = twins(I, H, 2)
    kept = []

    def move(storage):
        values = storage.clone()
        storage.resize_(0)
        kept.append(torch.empty(storage.nbytes() + 64))
        storage.resize_(values.nbytes())
        storage.copy_(values)

    for net in pair:
        assert outcome(torch, net, which, nothing, move) is None
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


def test_replaced_data(torch):
    """Between the passes: backward reads what the parameter was, and edits of it."""
    pair = twins(I, H, 2)
    for net in pair:
        tensors = operands(torch, net)
        loss = loss_of(net(tensors["x"], tensors["hx"]))
        net.weight_hh_l0.data = torch.eye(H)
        net.weight_ih_l1.data.mul_(2)
        loss.backward()
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("which", ["weight_hh_l0", "x", "hx"])
def test_lost_storage_of_what_would_be_copied(torch, which, trains):
    """Strided weights and states; what is copied where no weight needs a gradient."""
    H = 64
    for net in twins(I, H, 2):
        net.requires_grad_(trains)
        net.weight_hh_l0.data = torch.randn(H, H).t()
        x, hx = torch.randn(T, 64, I), torch.randn(2, H, 64).transpose(1, 2)
        x.requires_grad_(not trains)
        operand = {"x": x, "hx": hx}.get(which, net.weight_hh_l0)
        operand.untyped_storage().resize_(0)
        with pytest.raises(RuntimeError, match=r"storage|not allocated"):
            net(x, hx)


def test_data_replaced_during_a_call(torch):
    """By another thread, while the core reads what it was."""
    from crnn.torch import engine

    _, ours = twins(I, H)
    call = engine.Call(I, H, 1, 1, True, "RNN_TANH", T)
    x = torch.randn(T, B, I)
    right = ours(x)[0]
    net = engine.Network(call, x.dtype, list(ours.parameters()))
    for parameter in ours.parameters():
        parameter.data = torch.full_like(parameter, torch.nan)
    others = [torch.full((n,), torch.nan) for n in (3 * 4, 4 * 4, 4, 4) * 8]
    assert torch.equal(engine.run(net, call, x, None, [])[0], right) and others


@pytest.mark.parametrize("kind", ["strided", "negated"])
def test_edits_of_weights_that_are_copied(torch, kind):
    """Between the passes, through ``.data``."""
    pair = twins(I, H)
    for net in pair:
        value = net.weight_hh_l0.detach()
        value = value.t().contiguous().t() if kind == "strided" else value._neg_view()
        net.weight_hh_l0 = torch.nn.Parameter(value)
        tensors = operands(torch, net)
        loss = loss_of(net(tensors["x"], tensors["hx"][:1]))
        net.weight_hh_l0.data.mul_(0.5)
        loss.backward()
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


def test_replaced_data_and_gradients_of_gradients(torch):
    """They would be those of other weights: refused."""
    _, ours = twins(I, H)
    x = torch.randn(T, B, I, requires_grad=True)
    loss = loss_of(ours(x))
    ours.weight_hh_l0.data = torch.eye(H)
    with pytest.raises(RuntimeError, match="parameter"):
        torch.autograd.grad(loss, x, create_graph=True)


@pytest.mark.parametrize("which", ["weight_hh_l0", "x", "hx"])
def test_zero_tensors(torch, which):
    """They have a shape and no memory; torch's backward makes them, of sgn for one."""
    pair = twins(I, H, 2, dropout=0.5)
    results, states = [], []
    for net in pair:
        tensors = operands(torch, net)
        zeros = torch._efficientzerotensor(tensors[which].shape)
        if which in ("x", "hx"):
            tensors[which] = zeros
        else:
            net.weight_hh_l0 = torch.nn.Parameter(zeros)
        torch.manual_seed(1)
        output, h_n = net(tensors["x"], tensors["hx"])
        loss_of((output, h_n)).backward()
        results.append(output)
        states.append(torch.get_rng_state())
    assert_near(*results[::-1])
    assert torch.equal(*states)
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


def test_gradients_that_are_zero_tensors(torch):
    """A narrowed one keeps its strides, which are those of more than the core reads."""
    pair = twins(I, H)
    for net in pair:
        x = operands(torch, net)["x"]
        wide = torch.zeros(T, B, 100000)
        torch.cat([net(x)[0], wide], -1).sgn().sum().backward()
        (d_x,) = torch.autograd.grad(net(x)[0].abs().sum(), x, create_graph=True)
        d_x.square().sum().backward()
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())
