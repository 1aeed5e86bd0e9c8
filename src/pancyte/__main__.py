"""``python -m pancyte`` is the command ``pancyte``."""

from pancyte.cli import main

if __name__ == "__main__":
    main()
