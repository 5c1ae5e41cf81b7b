"""The bound of docs/guarantee.md on messages that are journaled twice."""

import math

GROUP_MESSAGES = 256  # the journal commits after so many messages,
COMMIT_S = 0.1  # or after so long
ROUND_TRIP_S = 0.1  # from a commit until the broker has its acknowledgements, on a busy machine


def most_duplicates(*, losses: int, rate: float, held_s: float = ROUND_TRIP_S) -> int:
    """Return the most messages that so many losses of a connection may double.

    Only a message that was journaled and whose acknowledgement the broker has not seen can be journaled
    again: at each loss one commit group, and the messages whose acknowledgements are on the way.

    Args:
        losses: connections that ended otherwise than by DISCONNECT, kills included.
        rate: messages/s.
        held_s: how long acknowledgements may be on the way.
    """
    return losses * math.ceil(max(GROUP_MESSAGES, rate * COMMIT_S) + rate * held_s)
