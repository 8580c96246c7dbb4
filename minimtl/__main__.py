"""`python -m minimtl` is `minimtl`."""

import sys

from minimtl.cli import main

sys.exit(main())
