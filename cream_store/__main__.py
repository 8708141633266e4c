"""`python -m cream_store` is the command `cream-store`."""

from cream_store.cli import main

main()
