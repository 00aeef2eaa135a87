"""``python -m skyproof`` is ``skyproof``."""

import sys

from skyproof.surfaces.cli import main

if __name__ == "__main__":
    sys.exit(main())
