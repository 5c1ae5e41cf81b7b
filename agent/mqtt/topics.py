"""Device ids as one topic level."""

from hashlib import blake2b
from urllib.parse import quote

MAX_BYTES = 120
HASH_BYTES = 20


def encode_device(device: str) -> str:
    """Return ``device`` as one topic level without wildcards, never the same for two devices.

    Every character outside ``[A-Za-z0-9_-]`` is percent-encoded with ``=`` in place of ``%``; above 120 bytes
    it is ``=~`` and a hash. So ``=gateway``, the level of the gateway itself, is no device's.
    """
    # quote() leaves `.` and `~` alone; neither can come out of it otherwise.
    level = quote(device, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    level = level.replace("%", "=")
    if len(level) <= MAX_BYTES and level:
        return level
    return "=~" + blake2b(device.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).hexdigest()
