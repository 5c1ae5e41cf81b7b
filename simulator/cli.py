"""The command line ``edge-sim`` and its exit codes 0, 2, 69 and 70."""

import argparse
import errno
import traceback
from collections.abc import Callable, Sequence

from simulator.agent_process import AgentEndedError
from simulator.broker import BrokerError
from simulator.commands import demo, lift, model, record, replay, run, scenarios, score, trial
from simulator.commands.common import EXIT_FAULT, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, complain
from simulator.link import LinkError
from simulator.scenario import ScenarioError

_OUTPUT_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
COMMANDS = (demo, scenarios, run, record, replay, score, trial, lift, model)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except ScenarioError as error:
        return complain(str(error), EXIT_USAGE)
    except (BrokerError, LinkError) as error:
        return complain(str(error), EXIT_UNAVAILABLE)
    except AgentEndedError as error:
        return complain(str(error), error.code)
    except BrokenPipeError:
        return EXIT_OK
    except KeyboardInterrupt:
        return complain("ended at once", EXIT_FAULT)
    except OSError as error:
        if error.filename is None and error.errno not in _OUTPUT_FAULTS:
            return _fault(error)
        place = "output: cannot be written" if error.filename is None else error.filename
        return complain(f"{place}: {error.strerror}", EXIT_UNAVAILABLE)
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, in one line with its place
        return _fault(error)


def _fault(error: Exception) -> int:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{'/'.join(place.filename.split('/')[-3:])}:{place.lineno} in {place.name}"
    return complain(
        f"a fault of ours: {type(error).__name__}: {error} at {where}; please report this line", EXIT_FAULT
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-sim", description="Devices, faults and models to try an agent with."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    return parser
