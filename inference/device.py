"""The one door to torch: named tensors in, a function on arrays out. Loads torch when it is first asked for.

One thread a process: two on busy cores wait for each other for seconds (spinning barriers), and one film is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
#: float32 [way, 1, row, column] -> (logits [way, output], features [way, 1280])
Network = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run: ``cpu`` or ``cuda``; asked once, at the start of a process."""

    name: str

    @classmethod
    def chosen(cls, wanted: str = "auto") -> Device:
        """The device for HELAN_DEVICE: auto, cpu or cuda. ``auto`` takes a GPU where torch sees one."""
        import torch

        torch.set_num_threads(1)
        if wanted == "cpu":
            return cls("cpu")
        present = bool(torch.cuda.is_available())
        if wanted == "cuda" and not present:
            raise ValueError("HELAN_DEVICE=cuda, but torch sees no CUDA device")
        return cls("cuda" if present else "cpu")

    def film_network(self, tensors: Mapping[str, npt.NDArray[np.floating]], outputs: Sequence[str]) -> Network:
        """The film network with these weights, in float32, ready to run.  Raises ValueError when they do not fit it."""
        import torch

        from inference.networks import FilmNet

        net = FilmNet(len(outputs))
        weights = {name: torch.from_numpy(values.astype(np.float32)) for name, values in tensors.items()}
        try:
            left = net.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise ValueError("weights do not fit the network's definition") from error
        if left.unexpected_keys or any("num_batches_tracked" not in key for key in left.missing_keys):
            raise ValueError("weights do not fit the network's definition")
        net = net.eval().to(torch.device(self.name))

        def run(views: Array) -> tuple[Array, Array]:
            # each way by itself: how many lie together must not change a single bit of the answer
            with torch.inference_mode():
                pairs = [net(torch.from_numpy(view[None]).to(self.name)) for view in views]
            logits, features = zip(*pairs, strict=True)
            return torch.cat(logits).cpu().numpy(), torch.cat(features).cpu().numpy()

        return run
