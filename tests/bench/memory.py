"""Peak memory of two training steps in MB, in a process of its own.

python tests/bench/memory.py {ours,theirs,default} CHANNELS SIZE BATCH DEVICE THREADS
"""

from __future__ import annotations

import sys

import torch
from measuring import held
from recipes import Ours, Theirs, cohort, settings


def main() -> int:
    whose, device = sys.argv[1], torch.device(sys.argv[5])
    channels, size, batch, threads = (int(sys.argv[index]) for index in (2, 3, 4, 6))
    torch.set_num_threads(threads)
    if whose == "theirs":
        step = Theirs(channels, batch, size, device).step
    else:
        other = {"network": {"name": "unet", "channels": channels}} if whose == "default" else {}
        step = Ours(settings(channels, batch, **other), cohort(size, device), device).step
    before = 0.0 if device.type == "cuda" else held("VmRSS")
    step()
    step()
    peak = torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else held("VmHWM")
    sys.stdout.write(f"{peak - before:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
