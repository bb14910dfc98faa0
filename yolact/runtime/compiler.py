"""torch's compiler: the C++ compiler it needs on the CPU, and a barrier for Inductor's fusion."""

from __future__ import annotations

from torch import Tensor

from yolact.errors import UserError


def require_compiler(setting: str, otherwise: str, kind: type[UserError]) -> None:
    """Make sure that there is one.

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
