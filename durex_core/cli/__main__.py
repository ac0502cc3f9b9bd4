"""`python -m durex_core.cli` is `durex`."""

from durex_core.cli.main import main

main()
