"""``python -m agent.config FILE``: the other side of :func:`agent.config.apart.load_anew`."""

import sys
from pathlib import Path

from agent.config.apart import answer

answer(Path(sys.argv[1]), sys.stdout.fileno())
