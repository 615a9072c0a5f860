"""The release check of the installed package: `executor doctor --validate`, with the options of that command."""

from __future__ import annotations

import sys

from executor.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["doctor", "--validate"]
    main()
