"""Child process of :func:`agent.config.child.load_again`."""

import sys
from pathlib import Path

from agent.config.child import answer

answer(Path(sys.argv[1]), sys.stdout.fileno())
