"""Subclasses with code of their own, of crnn.torch's modules and torch's patched."""

import pytest
from twins import assert_near, counted

I, H, T, B = 3, 4, 5, 2  # noqa: E741


@pytest.fixture(params=["class", "patched"])
def base(torch, request):
    """The class that is to be inherited from, of a kind."""
    import crnn.torch

    if request.param == "class":
        yield lambda kind: getattr(crnn.torch, kind)
    else:
        with crnn.torch.patched():
            yield lambda kind: getattr(torch.nn, kind)


def test_own_checks_and_orders_are_called(torch, base):
    class Checking(base("RNN")):
        def check_forward_args(self, input, hidden, batch_sizes):
            raise ValueError("mine")

    class Doubling(base("RNN")):
        def permute_hidden(self, hx, permutation):
            return hx * 2

    x, hx = torch.randn(T, B, I), torch.randn(1, B, H)
    with pytest.raises(ValueError, match="mine"):
        Checking(I, H)(x)
    ours = Doubling(I, H)
    plain = torch.nn.RNN(I, H)
    plain.load_state_dict(ours.state_dict())
    output, h_n = ours(x, hx)
    right, state = plain(x, 2 * hx)
    assert_near(output, right)
    assert_near(h_n, 2 * state)


def test_others_are_computed_by_the_core(torch, base):
    class Silent(base("RNN")):
        def extra_repr(self):
            return ""

    with counted() as made:
        Silent(I, H)(torch.randn(T, B, I))
    assert len(made) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_script_compiles_their_own_code(torch, base):
    class Sevens(base("RNNCell")):
        def forward(self, input: torch.Tensor, hx: torch.Tensor):
            return torch.nn.functional.linear(input, self.weight_ih) * 0 + 7

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = Sevens(I, H)

        def forward(self, x, hx):
            return self.cell(x, hx)

    arguments = torch.randn(B, I), torch.randn(B, H)
    model = Model()
    assert torch.equal(torch.jit.script(model)(*arguments), model(*arguments))
