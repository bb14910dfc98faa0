"""Memory that stays with the process once it has been used.

glibc gives large freed blocks back to the kernel, which clears them page by page when the next step asks for as much again: a
tenth of an inference or of a training step on a CPU (AMD EPYC, two cores). A network asks for the same blocks over and over.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # <malloc.h>
_NEVER = -1


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for the blocks to come; its resident memory then stays at its peak.

    Returns:
        Whether the C library knows how: glibc's does.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_MMAP_MAX, 0))
