"""``python -m tfrecall``: the command line."""

from __future__ import annotations

if __name__ == "__main__":
    from tfrecall.cli import main

    main(prog_name="tfrecall")
