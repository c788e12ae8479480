"""Precision of vectors: fp32, bf16 where the processor has instructions for it, int8 on a CPU.

Why two precisions on one machine: models are always trained and evaluated in the native one; both arms serve in the one
that was measured to be fast and as good when the champion was promoted. So a verdict never depends on int8 rounding,
and a duel compares nothing but weights.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rag.errors import BadSetting
from rag.settings import Settings

Precision = Literal["fp32", "bf16", "int8"]
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and either within WSL


def native(settings: Settings) -> Precision:
    """Return what models are trained and judged in: bf16 where that is faster, else fp32; or which of them is set."""
    if settings.precision in ("fp32", "bf16"):
        return settings.precision
    return "bf16" if bf16_pays(pick_device(settings)) else "fp32"


def serving(settings: Settings, chosen: Precision | None) -> Precision:
    """Return what both arms serve in: the precision that is set, else the one chosen at promotion, else the native one.

    What was chosen on a CPU is nothing to a GPU, and bf16 nothing to a CPU that is slower with it. Raises BadSetting.
    """
    on_cpu = pick_device(settings) == "cpu"
    if settings.precision == "int8" and not on_cpu:
        raise BadSetting(
            f"THUMBTUNE_PRECISION=int8: it is computed on the CPU only, and the device is {pick_device(settings)}: "
            "set THUMBTUNE_DEVICE=cpu, or leave the precision to auto"
        )
    if settings.precision != "auto":
        return settings.precision
    return chosen if on_cpu and chosen in ("fp32", "int8") else native(settings)


def pick_device(settings: Settings) -> str:
    """Return the device to compute on: the one set, else a GPU where torch finds one, else the CPU."""
    if settings.device != "auto":
        return settings.device
    if not _may_have_gpu():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _may_have_gpu() -> bool:
    """Return False where torch could find no GPU, so that nobody imports it to ask: half of what a question costs."""
    if sys.platform != "linux":
        return True
    return any(Path(device).exists() for device in GPU_DEVICES) and "+cpu" not in version("torch")


def bf16_pays(device: str) -> bool:
    """Return whether bfloat16 autocast is faster than float32: on recent GPUs, and on CPUs with instructions for it."""
    if device.startswith("cuda"):
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    if device != "cpu" or not cpuinfo.exists():
        return False
    flags = cpuinfo.read_text(errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags
