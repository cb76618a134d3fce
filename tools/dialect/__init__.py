"""The dialect of on-module code (main.py, boot.py, lib/): lint, both bytecode compilers, types.

`python -m tools.dialect` runs lint and compilers; `python -m tools.dialect.types` runs mypy.
"""
