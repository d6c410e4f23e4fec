"""`python -m kalmap` is the command `kalmap`. The functions on AWS have no command line."""

import sys

from kalmap_cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
