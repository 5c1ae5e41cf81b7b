"""The decorator of records that are made for each reading or window."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen: bool, eq: bool = True, **options: bool) -> Callable[[type], type]:
        """Make a dataclass that is frozen for the type checker alone, and hashed as a frozen one is.

        A frozen dataclass sets each of its fields by a call, so that it takes six times as long to make.
        """
        return dataclass(eq=eq, unsafe_hash=frozen and eq, **options)


__all__ = ["record"]
