"""``python -m pyr.cli``."""

import sys

from pyr.cli import main

sys.exit(main())
