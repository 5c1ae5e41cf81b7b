"""A bounded dict whose changes in the open transaction can be taken back."""

from typing import Generic, TypeVar

V = TypeVar("V")


class Reversible(dict[str, V], Generic[V]):
    """Change it by :meth:`put` only; beyond ``most`` keys, those that came first are dropped."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.changed: dict[str, V | None] = {}  # as the values were before the open transaction

    def put(self, key: str, value: V | None) -> None:
        """Set the value of a key, or drop it with None."""
        before = self.get(key)
        if before is None and value is not None and len(self) >= self._most:
            self.put(next(iter(self)), None)
        self.changed.setdefault(key, before)
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value

    def commit(self) -> None:
        """Keep the changes."""
        if self.changed:
            self.changed = {}

    def rollback(self) -> None:
        """Take the changes back."""
        for key, value in self.changed.items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value
        self.changed = {}
