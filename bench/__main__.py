"""`python -m bench [NAME …]`: run the benchmarks one after the other, print their ratios, fail when one misses."""

import subprocess
import sys

from bench.measure import HEADER

ALL = ("creating", "accepting", "looking_up", "listing", "delivering", "authenticated", "starting")


def main() -> int:
    names = sys.argv[1:] or ALL
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(unknown)}: choose among {', '.join(ALL)}.")
    print(HEADER, flush=True)
    missed = [name for name in names if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode]
    print(f"missed: {', '.join(missed)}" if missed else "every ratio holds", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
