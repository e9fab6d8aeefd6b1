"""The command osier, as the wheel has it."""

from __future__ import annotations

import signal
import sys

from ._pyosier import command


def main() -> int:
    """Run the command osier with the arguments of this process."""
    # Ctrl-C ends the command as it does every other.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return command(["osier", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
