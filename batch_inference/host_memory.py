"""How much memory forward passes on a CPU keep: what the C library's allocator and oneDNN hold between them."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt` (malloc.h)."""

LARGEST_POOLED_BLOCK_BYTES = 2**30
NEVER_TRIM = 2**31 - 1

MAX_CACHED_KERNELS = "256"
"""Kernels that oneDNN has compiled and keeps: all that passes up to 64 tokens need. They have 16 sizes with six kernels
each, of which five count twice on AVX2. Compiling them anew makes a single text's pass twice as long, a full pass 3 %
longer (bundled model, AVX-512). oneDNN's own limit is 1,024 (its developer guide, "Primitive Cache"), at 0.5 MiB a
kernel."""


def bound_kept_memory() -> None:
    """Let oneDNN keep fewer compiled kernels, and all threads share one arena of glibc's allocator, where what one of
    them frees is there for the others. Call before either is used much; what a deployer has set stands.

    torch keeps as many kernels again for every thread, in a cache of its own in front of that one; it saves no time.

    By default memory keeps rising for half an hour of mixed traffic (`make soak`, bundled model), from 630 to 990 MiB;
    with these limits it is level after three minutes, at 825 MiB.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", MAX_CACHED_KERNELS)
    os.environ.setdefault("LRU_CACHE_CAPACITY", "1")
    if "MALLOC_ARENA_MAX" not in os.environ:
        _mallopt(M_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """Let the allocator keep what one pass frees for the next. Does nothing where the C library is not glibc.

    By default glibc gives large blocks back to the system, which hands them out again page by page: 8,000 to 12,000
    page faults a pass, and 6 to 13 % of its CPU time (bundled model, 1,280 tokens, two cores). In return, the process
    keeps the memory of its largest pass.
    """
    # Both: setting either ends the adaptation of the other, which is worse than leaving them alone.
    _mallopt(M_MMAP_THRESHOLD, LARGEST_POOLED_BLOCK_BYTES)
    _mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)


def _mallopt(parameter: int, value: int) -> None:
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").mallopt(parameter, value)
