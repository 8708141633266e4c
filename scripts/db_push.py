#!/usr/bin/env python3
"""`cream-store db push`, as a script."""

import sys

from cream_store.cli import cli

if __name__ == "__main__":
    cli(["db", "push", *sys.argv[1:]], prog_name="cream-store")
