"""crnn.torch in the place of nn.RNN and nn.RNNCell in PyTorch's own module database.

The samples, the references and the error cases are those that PyTorch tests its modules
with; what is asked of each sample is what PyTorch's tests of modules ask.
"""

import copy
import io
import pickle
import warnings

import pytest

KINDS = ["RNN", "RNNCell"]


@pytest.fixture(scope="module")
def database(torch):
    """torch.testing's entry for each kind, with the class changed for ours."""
    import crnn.torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hypothesis is missing, which is no matter
        modules = pytest.importorskip(
            "torch.testing._internal.common_modules",
            reason="torch.testing's module database cannot be imported (expecttest?)",
            exc_type=ImportError,
        )
    entries = {}
    for info in modules.module_db:
        for kind in KINDS:
            if info.module_cls is getattr(torch.nn, kind):
                entries[kind] = copy.copy(info)
                entries[kind].module_cls = getattr(crnn.torch, kind)
    assert sorted(entries) == sorted(KINDS)
    return entries


@pytest.fixture
def inner(torch):
    """PyTorch's helpers for tests."""
    from torch.testing._internal import common_utils

    return common_utils


@pytest.fixture(params=KINDS)
def info(database, request):
    return database[request.param]


@pytest.fixture(params=["float32", "float64"])
def dtype(torch, request):
    return getattr(torch, request.param)


def samples(torch, info, dtype, training, requires_grad=False, **options):
    """(module, arguments, keywords, sample) for each sample of the database."""
    if info.module_cls.__name__ == "RNN":
        options.setdefault("with_packed_sequence", True)
    inputs = info.module_inputs_func(
        *(info, "cpu", dtype, requires_grad, training), **options
    )
    assert inputs
    for sample in inputs:
        made, given = sample.constructor_input, sample.forward_input
        net = info.module_cls(*made.args, **made.kwargs, device="cpu", dtype=dtype)
        yield net.train(training), given.args, given.kwargs, sample


both_modes = pytest.mark.parametrize("training", [True, False])


@both_modes
def test_forward(torch, info, dtype, training, inner):
    for net, args, kwargs, sample in samples(torch, info, dtype, training):
        with inner.freeze_rng_state():
            found = net(*args, **kwargs)
        if any(hasattr(a, "batch_sizes") for a in args):
            continue  # the references take padded tensors
        right = sample.reference_fn(net, *args, **kwargs)
        torch.testing.assert_close(found, right)


def test_devices_and_factory_arguments(torch, info, dtype):
    for _, _, _, sample in samples(torch, info, dtype, True):
        made = sample.constructor_input
        for device in None, "cpu", "meta":
            net = info.module_cls(*made.args, **made.kwargs, device=device, dtype=dtype)
            for parameter in net.parameters():
                assert parameter.dtype == dtype
                assert parameter.device.type == (device or "cpu")
        with torch.device("meta"):
            net = info.module_cls(*made.args, **made.kwargs)
        assert all(parameter.is_meta for parameter in net.parameters())
        net.to_empty(device="cpu")
        assert not any(parameter.is_meta for parameter in net.parameters())


def test_repr(torch, info, dtype):
    for net, _, _, sample in samples(torch, info, dtype, True):
        made = sample.constructor_input
        plain = info.module_cls.__mro__[1](*made.args, **made.kwargs)
        assert repr(net) == str(net) == repr(plain)


@both_modes
def test_pickle(torch, info, dtype, training, inner):
    for net, args, kwargs, _ in samples(torch, info, dtype, training):
        with inner.freeze_rng_state():
            right = net(*args, **kwargs)
        file = io.BytesIO()
        torch.save(net, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        for other in loaded, pickle.loads(pickle.dumps(net)), copy.deepcopy(net):
            with inner.freeze_rng_state():
                torch.testing.assert_close(other(*args, **kwargs), right)
        state = io.BytesIO()
        torch.save(net.state_dict(), state)
        state.seek(0)
        fresh = copy.deepcopy(net)
        fresh.reset_parameters()
        fresh.load_state_dict(torch.load(state))
        with inner.freeze_rng_state():
            torch.testing.assert_close(fresh(*args, **kwargs), right)


def tensors_of(torch, value):
    leaves = torch.utils._pytree.tree_leaves(value)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def strided(torch, value):
    """The same values, not contiguous."""

    def spread(leaf):
        if not isinstance(leaf, torch.Tensor) or not leaf.is_floating_point():
            return leaf
        wide = torch.repeat_interleave(leaf.detach(), 2, dim=-1)[..., ::2]
        assert not wide.is_contiguous() or wide.numel() == 1
        return wide.requires_grad_(leaf.requires_grad)

    return torch.utils._pytree.tree_map(spread, value)


@both_modes
def test_non_contiguous_tensors(torch, info, dtype, training, inner):
    options = {"requires_grad": True, "with_packed_sequence": False}
    for net, args, kwargs, _ in samples(torch, info, dtype, training, **options):
        found = []
        for given in args, strided(torch, args):
            net.zero_grad()
            with inner.freeze_rng_state():
                results = tensors_of(torch, net(*given, **kwargs))
            torch.autograd.backward([r.sum() for r in results])
            leaves = [*tensors_of(torch, given), *net.parameters()]
            found.append([*results, *(leaf.grad.clone() for leaf in leaves)])
            for leaf in tensors_of(torch, given):
                leaf.grad = None
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("order", ["gradcheck", "gradgradcheck"])
@both_modes
def test_gradients(torch, info, training, inner, order):
    """Batched gradients included, and the fast mode's random directions."""
    options = {"requires_grad": True, "with_packed_sequence": False}
    for net, args, kwargs, _ in samples(
        torch, info, torch.float64, training, **options
    ):
        count = len(args)

        def call(*tensors, net=net, count=count, kwargs=kwargs):
            with inner.freeze_rng_state():
                return tensors_of(torch, net(*tensors[:count], **kwargs))

        inputs = [*args, *net.parameters()]
        assert getattr(inner, order)(call, tuple(inputs))


@both_modes
def test_memory_format(torch, info, dtype, training):
    for net, args, kwargs, _ in samples(torch, info, dtype, training):
        right = net.eval()(*args, **kwargs)
        net.to(memory_format=torch.channels_last)
        torch.testing.assert_close(net(*args, **kwargs), right)
        for parameter in net.parameters():
            assert parameter.is_contiguous()


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("assign", [False, True])
def test_conversions(torch, info, swap, assign):
    """Parameters are converted in place, by .data or by swapping tensors."""
    future = torch.__future__
    before = future.get_swap_module_params_on_conversion()
    for net, args, kwargs, _ in samples(torch, info, torch.float32, True):
        results = net(*args, **kwargs)
        torch.autograd.backward([r.sum() for r in tensors_of(torch, results)])
        net.zero_grad()
        del results
        future.set_swap_module_params_on_conversion(swap)
        try:
            kept = [id(parameter) for parameter in net.parameters()]
            net.double()
            assert [id(parameter) for parameter in net.parameters()] == kept
            assert {p.dtype for p in net.parameters()} == {torch.float64}
        finally:
            future.set_swap_module_params_on_conversion(before)
        state = {k: v.clone() + 1 for k, v in net.state_dict().items()}
        net.load_state_dict(state, assign=assign)
        with pytest.raises((ValueError, RuntimeError), match="dtype"):
            net(*args, **kwargs)
        net.float()(*args, **kwargs)


@both_modes
def test_errors(torch, info, dtype, training):
    from torch.testing._internal.common_modules import ModuleErrorEnum

    cases = info.module_error_inputs_func(info, "cpu", dtype, False, training)
    assert cases
    for case in cases:
        sample = case.module_error_input
        made, given = sample.constructor_input, sample.forward_input

        def make(made=made):
            return info.module_cls(*made.args, **made.kwargs)

        if case.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(case.error_type, match=case.error_regex):
                make()
        else:
            with pytest.raises(case.error_type, match=case.error_regex):
                make().train(training)(*given.args, **given.kwargs)


def test_training_mode_counts(torch, database):
    """It does for RNN, where dropout is; the database says so."""
    assert database["RNN"].train_and_eval_differ
    net = database["RNN"].module_cls(3, 8, 2, dropout=0.5)
    x = torch.randn(4, 2, 3)
    assert not torch.equal(net(x)[0], net.eval()(x)[0])
