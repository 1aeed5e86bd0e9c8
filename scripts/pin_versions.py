"""Write the exact versions that uv resolves into ``[tool.uv] constraint-dependencies``.

    uv lock --upgrade && uv run python scripts/pin_versions.py

uv.lock itself stays out of git; the pins here make every checkout install the same versions, with
markers where they differ between versions of Python.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXPORT = (
    "uv export --quiet --all-groups --all-extras --no-hashes --no-annotate --no-header "
    "--no-emit-project"
)


def main() -> None:
    exported = subprocess.run(EXPORT.split(), capture_output=True, text=True, check=True).stdout
    pins = [line.strip() for line in exported.splitlines() if "==" in line]
    block = "constraint-dependencies = [\n" + "".join(f'  "{pin}",\n' for pin in pins) + "]\n"
    text = PYPROJECT.read_text(encoding="utf-8")
    old = re.compile(r"constraint-dependencies = \[\n.*?^\]\n", re.DOTALL | re.MULTILINE)
    text = old.sub("", text)
    text = text.replace("[tool.uv]\n", "[tool.uv]\n" + block)
    PYPROJECT.write_text(text, encoding="utf-8")
    print(f"pinned {len(pins)} versions")


if __name__ == "__main__":
    main()
