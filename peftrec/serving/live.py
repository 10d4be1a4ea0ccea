"""What users did since a run was trained: events that are told while it is served, and extend their histories."""

import threading
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOST = 200_000  # events that are kept in all; whoever did nothing for longest is forgotten first
OF_USER = 500  # the newest of a user


@dataclass(frozen=True)
class LiveEvent:
    """A user did something with an item: when (seconds since 1970), in which table (None: each task's own), and the
    numbers in the table's columns, such as a rating; those of tasks that name no column under `value`."""

    user: str
    item: str
    time: float
    table: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)


class LiveHistories:
    """The newest events of the users who did something last. Any number of threads may ask and tell; it is bounded."""

    def __init__(self, most: int = MOST, of_user: int = OF_USER) -> None:
        self.most, self.of_user = most, of_user
        self._events: OrderedDict[str, list[LiveEvent]] = OrderedDict()
        self._count = 0
        self._alone = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def add(self, events: Iterable[LiveEvent]) -> None:
        """Tell of events; they may come in any order."""
        with self._alone:
            for event in events:
                own = self._events.setdefault(event.user, [])
                self._events.move_to_end(event.user)
                insort(own, event, key=lambda one: one.time)
                self._count += 1
                if len(own) > self.of_user:
                    del own[0]
                    self._count -= 1
            while self._count > self.most and len(self._events) > 1:
                self._count -= len(self._events.popitem(last=False)[1])

    def of(self, user: str) -> list[LiveEvent]:
        """A user's events, oldest first; of one time in the order in which they were told."""
        with self._alone:
            return list(self._events.get(user, ()))
