"""The command of a fault: runs ours and a control that must lose, prints both."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.outcome import Outcome, judge
from tests.faults.rig import RigSettings

#: Runs a number of faults under load: settings, how many, whether to print progress.
Run = Callable[[RigSettings, int, bool], Outcome]


@dataclass(frozen=True)
class Command:
    """``python -m tests.faults.NAME --OPTION N --rate R --seed S``."""

    name: str
    text: str  # of --help
    run: Run
    option: str  # names the faults
    faults: int  # without the option
    rate: float = 200.0  # messages/s
    control: str | None = None  # what the control leaves out
    control_faults: int = 0
    why_not: Callable[[], str | None] = lambda: None  # a reason not to run on this machine

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run ours and the control, and print both."""
        parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{self.name}", description=self.text)
        parser.add_argument(f"--{self.option}", dest="faults", type=int, default=self.faults)
        parser.add_argument("--rate", type=float, default=self.rate, help="messages/s")
        parser.add_argument("--seed", type=int, default=1)
        args = parser.parse_args(argv)
        reason = self.why_not()
        if reason is not None:
            print(f"not run: {reason}")
            return 2
        with tempfile.TemporaryDirectory(prefix=f"edge-{self.name}-") as temporary:
            folder = Path(temporary)
            settings = RigSettings(folder=folder / "ours", seed=args.seed, rate=args.rate)
            ours = self.run(settings, args.faults, True)
            control = None
            if self.control is not None:
                weak = replace(settings, folder=folder / "control", without=self.control)
                control = self.run(weak, min(args.faults, self.control_faults), False)
        return judge(ours, control)
