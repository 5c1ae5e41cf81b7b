"""`python -m agent` and the `edge-agent` command."""

import contextlib
import os
import sys


def open_streams() -> None:
    """Give a closed standard stream the null device; else the next file that is opened takes its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # inheritable; the lower numbers are taken
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115 - for the whole run


def flush_streams(code: int) -> int:
    """Write the buffers and return the exit code: a reader that left (``head``) is not a fault."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            # the interpreter flushes again as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if code == 0 and not isinstance(error, BrokenPipeError):
                code = 69
                with contextlib.suppress(OSError):
                    sys.stderr.write(f"edge-agent: output: cannot be written: {error.strerror}\n")
    return code


def main() -> None:
    """Run the command line and exit with its code; its files are for its own user alone."""
    os.umask(0o077)
    open_streams()
    try:
        from agent.cli import main as run_command  # noqa: PLC0415 - Ctrl-C may come while the modules are loaded

        code = run_command()
    except KeyboardInterrupt:
        code = 0 if sys.argv[1:2] == ["run"] else 130
    except SystemExit as end:  # of argparse: usage or help
        code = int(end.code or 0)
    sys.exit(flush_streams(code))


if __name__ == "__main__":
    main()
