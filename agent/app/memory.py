"""The collector of reference cycles, set for a process whose objects live long."""

import gc

NEW = 20_000  # objects, more made than freed, until the young ones are looked at; Python's own is 700


def settle() -> None:
    """Keep what start-up has made out of the collector's sight, and let it look at new objects less often.

    A message makes some ten objects, without cycles and free again within a second. By Python's own threshold
    the collector looks at each of them, and now and then at all that was imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW)
