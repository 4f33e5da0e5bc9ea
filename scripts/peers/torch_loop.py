# pyright: reportMissingImports=false
"""PyTorch: eager or compiled, with the data on either side."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peers import admission as admission_lib
from peers import table
from peers.admission import Admission
from peers.torch_models import MODELS
from peers.trainer import PRECISIONS, Job, Trainer
from peers.workloads import BETAS, EPSILON, find


def configure(job: Job) -> str:
    """Sets threads, precision and seed for the process; returns the device."""
    if job.threads:
        torch.set_num_threads(job.threads)
    torch.set_float32_matmul_precision(PRECISIONS[job.precision].torch)
    torch.backends.cudnn.allow_tf32 = job.precision == "tf32"
    torch.manual_seed(job.seed)
    return "cuda" if torch.cuda.is_available() else "cpu"


def optimizer_of(model: torch.nn.Module, job: Job, fused: bool) -> torch.optim.Adam:
    """Adam as declared."""
    row, _ = find(job.workload, job.size)
    options = {"lr": row.learning_rate, "betas": BETAS, "eps": EPSILON}
    return torch.optim.Adam(model.parameters(), fused=fused or None, **options)


def constants(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What the optimizer itself holds."""
    (group,) = optimizer.param_groups
    b1, b2 = group["betas"]
    name = type(optimizer).__name__.lower()
    extra = {key: group[key] for key in ("weight_decay", "amsgrad") if group.get(key)}
    constants = {"learning_rate": group["lr"], "b1": b1, "b2": b2, "eps": group["eps"]}
    return {"name": name, **constants, **extra}


def step_of(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, scale: float, device: str, half: bool
) -> Callable[..., Tensor]:
    """The whole step, on a batch in the data's own units that is on the device."""

    def step(x: Tensor, noise: Tensor | None = None) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss, _ = model(x.float() / scale, noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def compiled(step: Callable[..., Tensor], mode: str | None) -> Callable[..., Tensor]:
    """The step compiled with its backward pass inside, or as it is."""
    if mode is None:
        return step
    import torch._dynamo

    if hasattr(torch._dynamo.config, "trace_autograd_ops"):
        torch._dynamo.config.trace_autograd_ops = True  # else `backward` ends the graph
    return torch.compile(step, mode=mode, dynamic=False)


def build(job: Job) -> Trainer:
    """PyTorch's Trainer."""
    device = configure(job)
    row, sizes = find(job.workload, job.size)
    options = table.find(job.peer).variant(job.variant).options
    start = admission_lib.read(job.folder)
    module = MODELS[options.get("model", job.workload)]
    model = module(admission_lib.nested(start.params), sizes).to(device)
    if options.get("channels_last"):
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = optimizer_of(model, job, options.get("fused", False))
    half = PRECISIONS[job.precision].compute == "bfloat16"
    step = step_of(model, optimizer, row.scale, device, half)
    step = compiled(step, options.get("compile"))
    batches = REGIMES[job.regime](job, device, sizes.batch_size)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    calls = job.steps_per_call or admission_lib.train_size(job.folder) // sizes.batch_size

    def advance() -> int:
        for _ in range(calls):
            step(batches())
        wait()
        return calls

    def replay(admission: Admission) -> list[float]:
        place = lambda array: torch.from_numpy(array).to(device)
        pairs = zip(admission.batches, admission.noise, strict=True)
        return [step(place(x), place(noise)).item() for x, noise in pairs]

    def evaluate() -> float:
        x = torch.from_numpy(np.load(pathlib.Path(job.folder) / admission_lib.TEST)).to(device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=half):
            return model(x.float() / row.scale)[0].item()

    return Trainer(
        advance,
        replay,
        evaluate,
        sum(p.numel() for p in model.parameters()),
        constants(optimizer),
        torch.cuda.get_device_name() if device == "cuda" else "cpu",
    )


def _order(batch_size: int, size: int, device: str) -> Callable[[], Tensor]:
    """The places of the next batch; what an epoch leaves over is dropped."""
    order, at = torch.zeros(0, dtype=torch.long), 0

    def draw() -> Tensor:
        nonlocal order, at
        if at + batch_size > len(order):
            order, at = torch.randperm(size, device=device), 0
        at += batch_size
        return order[at - batch_size : at]

    return draw


def _host(job: Job, device: str, batch_size: int) -> Callable[[], Tensor]:
    """Gathered on the host, then sent; through pinned memory to a GPU."""
    train = torch.from_numpy(np.load(pathlib.Path(job.folder) / admission_lib.TRAIN))
    index = _order(batch_size, len(train), "cpu")
    gather = lambda: train.index_select(0, index())
    if device == "cpu":
        return gather
    return lambda: gather().pin_memory().to(device, non_blocking=True)


def _device(job: Job, device: str, batch_size: int) -> Callable[[], Tensor]:
    """Gathered where they lie; on a CPU there is no other place than the host."""
    train = torch.from_numpy(np.load(pathlib.Path(job.folder) / admission_lib.TRAIN)).to(device)
    index = _order(batch_size, len(train), device)
    return lambda: train.index_select(0, index())


REGIMES = {"host": _host, "device": _device}
