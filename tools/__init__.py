"""The host side: `python -m tools` lists every command."""
