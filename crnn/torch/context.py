"""What torch is doing around a call; every private name of torch stands here."""

import torch
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

_C = torch._C


def uncompiled(function):
    """Let torch.compile run a function, and what it calls, as it is.

    Where torch's private means for that are gone it traces into the function, finds
    `is_plain` false and compiles what torch would compute.
    """
    try:
        dynamo = torch._C._dynamo.eval_frame
        skip = dynamo._FrameAction.SKIP
        strategy = dynamo._FrameExecStrategy(skip, skip)
        dynamo.set_code_exec_strategy(function.__code__, strategy)
    except AttributeError:
        pass
    return function


def is_plain() -> bool:
    """Whether operators run at once and on the tensors themselves.

    They do not while torch compiles, traces or exports, inside torch.func's transforms
    and forward-mode AD, and where a mode intercepts operators.
    """
    return not (
        torch.compiler.is_compiling()
        or is_transformed()
        or _C._len_torch_dispatch_stack()
        or _C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
        or (_C._len_torch_function_stack() and not _only_devices())
    )


def _only_devices() -> bool:
    """Whether the function modes are those of torch.set_default_device alone."""
    return all(type(m) is DeviceContext for m in _get_current_function_mode_stack())


def records() -> bool:
    """Whether autograd records operators, which inference mode forbids grad mode."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def is_transformed() -> bool:
    """Whether one of torch.func's transforms is active."""
    return _C._are_functorch_transforms_active()


def is_autocast() -> bool:
    """Whether operators choose their dtypes themselves."""
    return _C._is_any_autocast_enabled()


def has_saving_hooks() -> bool:
    """Whether what autograd saves is packed away, by checkpointing for example."""
    return _C._autograd._top_saved_tensors_default_hooks(True) is not None


def is_batched(tensor) -> bool:
    """Whether it is one of torch.autograd's batched gradients."""
    return _C._functorch.is_legacy_batchedtensor(tensor)


def keeps_graph() -> bool:
    """Whether the running backward pass leaves its graph for another one."""
    return _C._autograd._get_current_graph_task_keep_graph()
