"""Where a fault of our own code happened, in words that hold no data. Pure."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

OURS = ("agent", "simulator")


def place_of(error: BaseException) -> str:
    """Return file and line of the innermost frame of the product, else of the innermost frame of all."""
    last = ours = ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        parts = trace.tb_frame.f_code.co_filename.replace("\\", "/").split("/")
        root = next((at for at in range(len(parts) - 2, -1, -1) if parts[at] in OURS), None)
        last = f"{'/'.join(parts[-2:] if root is None else parts[root:])}:{trace.tb_lineno}"
        ours = ours if root is None else last
        trace = trace.tb_next
    return ours or last or "an unknown place"


def fault_words(error: BaseException) -> str:
    """Return type and place; never the message, which may repeat foreign input."""
    return f"{type(error).__name__} at {place_of(error)}"
