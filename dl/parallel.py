"""Several processes that train one network together, as torchrun starts them; one process is a group of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class ElsewhereError(torch.OutOfMemoryError):
    """Memory ran out in another process."""


@dataclass(frozen=True)
class Group:
    """The processes of torch's process group, which takes tensors of the CPU as well ("cpu:gloo,cuda:nccl")."""

    rank: int = 0
    world: int = 1

    @classmethod
    def joined(cls) -> "Group":
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def share(self, batch: Tensor) -> Tensor:
        """Return every `world`-th image of a batch that all have: this process's."""
        return batch[self.rank :: self.world]

    def agree(self, micro: int) -> int:
        """Return the smallest `micro` of all processes. ElsewhereError where another one gave up."""
        if self.world == 1:
            return micro
        least = torch.tensor(micro)  # on the CPU: nobody waits for a GPU
        dist.all_reduce(least, dist.ReduceOp.MIN)
        if not least:
            raise ElsewhereError("memory ran out in another process")
        return int(least)

    def from_first(self, value: Any) -> Any:
        """Return what process 0 has as `value`."""
        if self.world == 1:
            return value
        self.agree(1)
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def sum(self, tensor: Tensor) -> None:
        """Add `tensor` up over the processes, in place."""
        if self.world > 1:
            self.agree(1)
            dist.all_reduce(tensor)

    def average_gradients(self, model: nn.Module) -> None:
        """Average the gradients of `model` over the processes; they have just agreed."""
        if self.world > 1:
            grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            torch._foreach_div_(grads, self.world)
            for work in filter(None, [dist.all_reduce(grad, async_op=True) for grad in grads]):
                work.wait()

    @contextmanager
    def ends_alike(self) -> Iterator[None]:
        """Raise in all processes where memory runs out within the block in one of them.

        Wherever that happens, what the others come to next is `agree`: at each step, before each sum, at the end. So a
        process that fails answers there, and none waits in a sum for one that left.
        """
        try:
            yield
            self.agree(1)
        except ElsewhereError:
            raise
        except torch.OutOfMemoryError:
            if self.world > 1:
                dist.all_reduce(torch.tensor(0), dist.ReduceOp.MIN)
            raise
