"""The entry point of `durex`."""

import sys

_OF_THE_EXTRA = frozenset({"click", "rich", "uvicorn", "aws_lambda_powertools"})


def main() -> None:
    """Run `durex` with the process's arguments and exit: 0 done, 1 failed, 2 wrong use."""
    try:
        from durex_core.cli.group import run  # noqa: PLC0415  to say what is missing instead of a traceback

        sys.exit(run(sys.argv[1:]))
    except ModuleNotFoundError as missing:
        if missing.name not in _OF_THE_EXTRA:
            raise
        sys.exit(f"error: {missing.name} is not installed; the command line needs: pip install 'durex-core[local]'")
