"""`python -m downhaul.cli`, for where the script is not on the path."""

import sys

from downhaul.cli import main

sys.exit(main())
