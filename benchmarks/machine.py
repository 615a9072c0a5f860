"""What the times were measured on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path


def describe(directory: Path) -> Mapping[str, str]:
    """Names and values to print; `directory` is where the databases are."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "Memory": _memory(),
        "System": f"{platform.system()} {platform.release()}",
        "File system": _file_system(directory),
        "Load before": load,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory() -> str:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return f"{int(found[1]) / 1024**2:.0f} GiB" if found else "unknown"


def _file_system(directory: Path) -> str:
    """The type of the file system that a directory is on: the longest mount point above it says so."""
    path = directory.resolve()
    mounts = [line.split()[1:3] for line in _read("/proc/mounts").splitlines()]
    above = [(point, kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else "unknown"
