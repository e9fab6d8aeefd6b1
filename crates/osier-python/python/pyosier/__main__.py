"""python -m pyosier is the command osier."""

import sys

from ._command import main

if __name__ == "__main__":
    sys.exit(main())
