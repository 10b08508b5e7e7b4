"""crnn.torch where a tensor's storage is freed, made smaller or moved: as torch."""

import pytest
from twins import assert_same_gradients, loss_of, twins

I, H, T, B = 3, 4, 5, 2  # noqa: E741

TENSORS = pytest.mark.parametrize("which", ["weight_ih_l0", "weight_hh_l1", "x", "hx"])


def operands(torch, net, input_needs=True):
    """The tensors of a call by name, those of the network too."""
    torch.manual_seed(0)
    x = torch.randn(T, B, I, requires_grad=input_needs)
    hx = torch.randn(2, B, H, requires_grad=input_needs)
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
