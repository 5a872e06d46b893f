"""The command lines: argparse and `main`; nothing below knows of them."""
