"""``python -m etp.cli`` is the command ``etp``."""

from .app import main

if __name__ == "__main__":
    main()
