"""Wrong calls of crnn.torch: torch's words, and ours where it has none."""

import pytest
from twins import counted, every_cell, twins

import crnn

I, H, T, B = 3, 4, 5, 2  # noqa: E741

WRONG = {
    "list": lambda torch: ([0.0],),
    "None": lambda torch: (None,),
    "ndarray": lambda torch: (torch.zeros(T, B, I).numpy(),),
    "1-D": lambda torch: (torch.zeros(I),),
    "4-D": lambda torch: (torch.zeros(1, T, B, I),),
    "hx 3-D, x 2-D": lambda torch: (torch.zeros(T, I), torch.zeros(1, 1, H)),
    "hx 2-D, x 3-D": lambda torch: (torch.zeros(T, B, I), torch.zeros(1, H)),
    "hx tuple": lambda torch: (torch.zeros(T, B, I), (torch.zeros(1, B, H),)),
    "float64": lambda torch: (torch.zeros(T, B, I).double(),),
    "int64": lambda torch: (torch.zeros(T, B, I).long(),),
    "features": lambda torch: (torch.zeros(T, B, I + 1),),
    "hx layers": lambda torch: (torch.zeros(T, B, I), torch.zeros(2, B, H)),
    "hx batch 1": lambda torch: (torch.zeros(T, B, I), torch.zeros(1, 1, H)),
    "hx unbatched": lambda torch: (torch.zeros(T, I), torch.zeros(2, H)),
    "device": lambda torch: (torch.zeros(T, B, I, device="meta"),),
    "T = 0": lambda torch: (torch.zeros(0, B, I),),
    "T = B = 0": lambda torch: (torch.zeros(0, 0, I),),
    "unbatched T = 0": lambda torch: (torch.zeros(0, I),),
    "hx dtype": lambda torch: (torch.zeros(T, B, I), torch.zeros(1, B, H).double()),
    "no argument": lambda torch: (),
}


def said(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(torch, case):
    """The same exception, also with gradients off; then a right call is right."""
    plain, ours = twins(I, H)
    arguments = WRONG[case](torch)
    right = said(plain, *arguments)
    assert right is not None
    assert said(ours, *arguments) == right
    with torch.no_grad():
        assert said(ours, *arguments) == right
    x = torch.randn(T, B, I)
    assert torch.allclose(ours(x)[0], plain(x)[0], atol=1e-6)


ATTRIBUTES = {
    "mode": "X",
    "bias": False,
    "num_layers": 2,
    "bidirectional": 1,
    "hidden_size": 5,
    "input_size": 2,
    "batch_first": 1,
    "weight_hh_l0": None,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_against_the_weights(torch, name):
    answers = []
    for net in twins(I, H):
        setattr(net, name, ATTRIBUTES[name])
        answers.append(said(net, torch.zeros(T, B, I)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("name", "shape"),
    [("weight_ih_l0", (H, I + 1)), ("weight_hh_l0", (H, 3)), ("bias_ih_l0", (3,))],
)
def test_weights_of_wrong_shape(torch, name, shape):
    answers = []
    for net in twins(I, H):
        setattr(net, name, torch.nn.Parameter(torch.zeros(shape)))
        answers.append(said(net, torch.zeros(T, B, I)))
    assert answers[0] == answers[1] is not None
    for net in twins(I, H):
        net.weight_hh_l0 = torch.nn.Parameter(torch.zeros(H, H).double())
        answers.append(said(net, torch.zeros(T, B, I)))
    assert answers[2] == answers[3] is not None


def test_training_is_read(torch):
    for net in twins(I, H):
        del net.training
        with pytest.raises(AttributeError, match="'RNN' object has no attribute 'tra"):
            net(torch.zeros(T, B, I))


def test_live_attributes(torch):
    """mode and batch_first count at the next call, nonlinearity never."""
    plain, ours = twins(I, H)
    x = torch.randn(T, B, I)
    for name, value in [
        ("nonlinearity", "relu"),
        ("mode", "RNN_RELU"),
        ("batch_first", True),
    ]:
        for net in plain, ours:
            setattr(net, name, value)
        with counted() as made:
            assert torch.allclose(ours(x)[0], plain(x)[0], atol=1e-6)
        assert len(made) == 1


def packed(torch, data=None, batch_sizes=(2, 2, 1), order=None, back=None):
    data = torch.zeros(5, I) if data is None else data
    if not isinstance(batch_sizes, torch.Tensor):
        batch_sizes = torch.tensor(batch_sizes)
    kind = torch.nn.utils.rnn.PackedSequence
    return kind(data, batch_sizes, order, back)


def test_packed_sequences_that_torch_refuses(torch):
    swap = torch.tensor([1, 0])
    cases = [
        (packed(torch, torch.zeros(5, I, 1)),),
        (packed(torch, torch.zeros(5, I).double()),),
        (packed(torch, torch.zeros(5, I + 1)),),
        (packed(torch, batch_sizes=(2, 2, 2)),),
        (packed(torch, batch_sizes=(1, 2, 2)),),
        (packed(torch, batch_sizes=torch.tensor([2, 2, 1], dtype=torch.int32)),),
        (packed(torch, batch_sizes=(2, 2, -1)),),
        (packed(torch), torch.zeros(1, 3, H)),
        (packed(torch), torch.zeros(1, H)),
        (packed(torch, order=swap), torch.zeros(1, 1, H)),
        (packed(torch, order=swap), torch.zeros(2, 2, H)),
        (packed(torch, order=swap), torch.zeros(B, H)),
        (packed(torch), (torch.zeros(1, 2, H),)),
    ]
    plain, ours = twins(I, H)
    for number, case in enumerate(cases):
        right = said(plain, *case)
        assert right is not None, number
        assert said(ours, *case) == right, number


def test_packed_sequences_that_torch_gets_wrong(torch):
    """Where torch is silent, an error."""
    _, ours = twins(I, H)
    swap, long = torch.tensor([1, 0]), torch.tensor([2, 1, 0])
    cases = [
        (packed(torch, torch.zeros(6, I)),),
        (packed(torch, order=swap), torch.zeros(1, 3, H)),
        (packed(torch, order=long, back=long),),
        (packed(torch, order=swap, back=long),),
    ]
    for case in cases:
        with pytest.raises(crnn.ShapeError) as caught:
            ours(*case)
        assert isinstance(caught.value, RuntimeError)


def test_packed_sequences_that_are_unusual(torch):
    """Strided batch_sizes are read with their strides, trailing zeros are accepted."""
    plain, ours = twins(I, H)
    data = torch.randn(5, I)
    right = plain(packed(torch, data))[0].data
    strided = torch.tensor([2, 9, 2, 9, 1, 9])[::2]
    for sizes in (2, 2, 1, 0), strided:
        with counted() as made:
            found = ours(packed(torch, data, sizes))[0].data
        assert len(made) == 1
        assert torch.allclose(found, right, atol=1e-6)


CELL_WRONG = {
    "list": lambda torch: ([0.0],),
    "3-D": lambda torch: (torch.zeros(1, 100, I),),
    "hx 3-D": lambda torch: (torch.zeros(100, I), torch.zeros(1, 100, H)),
    "features": lambda torch: (torch.zeros(100, I + 1),),
    "batch": lambda torch: (torch.zeros(100, I), torch.zeros(99, H)),
    "hidden": lambda torch: (torch.zeros(100, I), torch.zeros(100, H + 1)),
    "dtype": lambda torch: (torch.zeros(100, I).double(),),
    "hx dtype": lambda torch: (torch.zeros(100, I), torch.zeros(100, H).double()),
}


@pytest.mark.parametrize("case", CELL_WRONG)
@every_cell()
def test_wrong_arguments_of_a_cell(torch, case):
    plain, ours = twins(I, H, kind="RNNCell")
    arguments = CELL_WRONG[case](torch)
    right = said(plain, *arguments)
    assert right is not None
    assert said(ours, *arguments) == right


@every_cell()
def test_wrong_attributes_of_a_cell(torch):
    answers = []
    for net in twins(I, H, kind="RNNCell"):
        net.nonlinearity = "sigmoid"
        answers.append(said(net, torch.zeros(100, I)))
        net.nonlinearity = "relu"
        assert torch.equal(net(torch.zeros(100, I) - 9) < 0, torch.zeros(100, H) > 0)
    assert answers[0] == answers[1] is not None
    for sizes in (0, H), (I, 0):
        for net in twins(*sizes, kind="RNNCell"):
            assert net(torch.zeros(100, sizes[0])).shape == (100, sizes[1])


def test_constructors(torch):
    import crnn.torch

    for arguments, options in [
        ((0, 4), {}),
        ((3, 4, 0), {}),
        ((3, 4, 2, True), {}),
        ((3, 4), {"proj_size": 0}),
        ((3, 4), {"dropout": 1.5}),
        ((3, 4), {"bias": 1}),
    ]:
        answers = [
            said(lambda kind=kind, a=arguments, o=options: kind(*a, **o))
            for kind in (torch.nn.RNN, crnn.torch.RNN)
        ]
        assert answers[0] == answers[1] is not None
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but"):
        crnn.torch.RNN(3, 4, dropout=0.5)
    net = crnn.torch.RNN(3, 4, 1, "tanh", True, False, 0.0, False, 2)
    assert said(net, torch.zeros(T, B, 3)) is not None
