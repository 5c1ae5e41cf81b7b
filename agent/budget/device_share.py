"""The share of the last hour's money that one device may use up."""

from collections import OrderedDict, deque

HOUR_S = 3600.0
DAY_S = 86_400.0
MAX_DEVICES = 1000
STEPS = 20  # in a period: costs less than one step apart are kept as one, so that memory has a bound


class Shares:
    """Costs of each device in the last ``period_s`` seconds, to a 20th of it, nano-USD, in memory."""

    def __init__(self, *, share: float, period_s: float = HOUR_S) -> None:
        self._share = share
        self._period_s = period_s
        self._costs: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()
        self._held: dict[str, int] = {}
        self._refused: OrderedDict[str, float] = OrderedDict()  # device -> clock of the last refusal

    def allows(self, device: str, amount: int, *, limit: int, clock: float) -> bool:
        """Return whether ``device`` may cost ``amount`` more; its first call in a period always may."""
        spent = self.spent(device, clock) + self._held.get(device, 0)
        if amount <= 0 or spent == 0 or spent + amount <= self._share * limit:
            self._refused.pop(device, None)
            return True
        self._refused[device] = clock
        self._refused.move_to_end(device)
        if len(self._refused) > MAX_DEVICES:
            self._refused.popitem(last=False)
        return False

    def refused(self, clock: float) -> list[str]:
        """Return the devices that were refused in the last period and not allowed since, newest first."""
        return [device for device, at in reversed(self._refused.items()) if clock - at < self._period_s]

    def hold(self, device: str, amount: int) -> None:
        """Count ``amount`` against ``device`` until it is given back (as a negative one)."""
        held = self._held.pop(device, 0) + amount
        if held:
            self._held[device] = held

    def add(self, device: str, amount: int, *, clock: float) -> None:
        """Add a cost of ``device``."""
        if not amount:
            return
        costs = self._costs.setdefault(device, deque(maxlen=STEPS + 1))
        if costs and 0 <= clock - costs[-1][0] < self._period_s / STEPS:
            since, sum_so_far = costs.pop()
            costs.append((since, sum_so_far + amount))
        else:
            costs.append((clock, amount))
        self._costs.move_to_end(device)
        if len(self._costs) > MAX_DEVICES:
            self._costs.popitem(last=False)

    def __len__(self) -> int:
        """Return how many sums are kept."""
        return sum(map(len, self._costs.values()))

    def spent(self, device: str, clock: float) -> int:
        """Return the costs of ``device`` in the last period."""
        costs = self._costs.get(device)
        if costs is None:
            return 0
        while costs and costs[0][0] <= clock - self._period_s:
            costs.popleft()
        if not costs:
            del self._costs[device]
            return 0
        return sum(amount for _, amount in costs)
