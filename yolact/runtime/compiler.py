"""torch's compiler: the C++ compiler that it needs, folders of compiled code, a barrier for Inductor's fusion."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from yolact.errors import UserError


class CompilerError(UserError):
    """The folder for compiled code cannot be used."""


def require_compiler(setting: str, otherwise: str, kind: type[UserError]) -> None:
    """Make sure that a C++ compiler is installed.

    Args:
        setting: what asks for it, as `field=value`.
        otherwise: the field to change, and its value, to do without.
        kind: of the error.

    Raises:
        UserError: of that kind, saying what to do.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # torch's own classes, which it names as private
        raise kind(
            f"{setting} needs a C++ compiler on the CPU: install g++ (on Debian: apt install g++), "
            f"name one by the environment variable CXX, or set {otherwise}"
        ) from error


def materialize(values: Tensor) -> Tensor:
    """Return the same values, and make Inductor store them; otherwise it recomputes cheap producers in every consumer.

    Inductor stores what a view by strides is taken of.
    """
    return values.as_strided(values.shape, values.stride())


def cache_folder() -> Path:
    """Folder of compiled packages: `yolact/engines` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "yolact" / "engines"


def keep_kernels() -> None:
    """Point Inductor's kernel cache at our cache folder, unless TORCHINDUCTOR_CACHE_DIR is set.

    Raises:
        CompilerError: that folder can't be written or belongs to somebody else.
    """
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(own_folder(cache_folder().with_name("inductor")))


def own_folder(folder: Path) -> Path:
    """Make the folder, and check that only the user may write to it: code is loaded from there.

    Raises:
        CompilerError: it can't be made, or others may write to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.stat()
    except OSError as error:
        raise CompilerError(f"{folder}: compiled code can't be kept here ({error}); set XDG_CACHE_HOME") from None
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise CompilerError(f"{folder}: compiled code is loaded from here, but others may write to it; set XDG_CACHE_HOME")
    return folder
