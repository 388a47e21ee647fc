"""Processes that share the batch of each training step, and take every step together.

Each works on its rows with one thread, and their gradients are averaged. A second thread in one process gains
little on networks this small; a second process saves a quarter of the time (docs/lessons.md). What comes out
depends on their number (the order of a sum), not on how many cores the machine has::

    def train(team, network, scenes):             # at top level: other processes import it
        for rows in batches:
            loss(network, scenes[team.own(rows)]).backward()
            loss = team.average(parameters, loss)

    with working_side_by_side(2, train, network, scenes) as team:
        train(team, network, scenes)
"""

from __future__ import annotations

import copy
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, multiprocessing, nn

from sop_bench.errors import SopBenchError

_PATIENCE = timedelta(minutes=10)  # for another process, which may have to read its scenes from a slow disk


class Team:
    """One process of those that train together.

    Attributes:
        rank, size: Which of how many.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    def own(self, rows: Tensor) -> Tensor:
        """This process's part of `rows`, whose number must be a multiple of `size`."""
        return rows if self.size == 1 else rows[self.rank :: self.size]

    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace the gradients by their mean over the team, and return that of the loss."""
        if self.size == 1:
            return loss
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        together = torch.cat([*(gradient.flatten() for gradient in gradients), loss.detach().reshape(1)])
        torch.distributed.all_reduce(together)
        together /= self.size
        *parts, mean = together.split([*(gradient.numel() for gradient in gradients), 1])
        for parameter, gradient, part in zip(parameters, gradients, parts, strict=True):
            # Into the gradient's own layout, that of its parameter: the fused optimiser takes it for granted.
            parameter.grad = gradient.copy_(part.view_as(gradient))
        return mean[0]


@contextmanager
def working_side_by_side(size: int, job: Callable[..., Any], *args: Any) -> Iterator[Team]:
    """Start ``job(team, *copies_of_args)`` in `size - 1` further processes; the caller runs it as the first.

    Args:
        size: Of the team; 1 starts nothing.
        job: A top-level function, which must take as many steps in each process.
        args: Picklable. Tensors are shared, but for those of modules: every process trains its own copy.

    Raises:
        SopBenchError: A process ended before the work was done.
    """
    if size == 1:
        yield Team()
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        others = [
            context.Process(target=_take_part, args=(rank, size, meeting, job, args), daemon=True)
            for rank in range(1, size)
        ]
        for process in others:
            process.start()
        try:
            _meet(0, size, meeting)
            yield Team(0, size)
        except RuntimeError as error:  # what a broken connection is to torch
            for process in others:
                process.join(timeout=5)
            ended = [process.exitcode for process in others if process.exitcode]
            if not ended:
                raise
            raise SopBenchError(
                f"A process that trains with this one ended early (exit code {ended[0]}; negative: a signal, "
                f"-9 often for want of memory). What is complete is kept: run the same command again."
            ) from error
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            for process in others:
                process.terminate()
                process.join()


def _meet(rank: int, size: int, meeting: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=_PATIENCE
    )
    torch.distributed.barrier()


def _take_part(rank: int, size: int, meeting: str, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    # Weights came as shared memory: copied before the first process, which waits to meet, trains its own.
    own = [copy.deepcopy(arg) if isinstance(arg, nn.Module) else arg for arg in args]
    _meet(rank, size, meeting)
    job(Team(rank, size), *own)
