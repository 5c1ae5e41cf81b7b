#!/bin/sh
# Fetches the wheels for a gateway without a network: systemd/wheels.sh DIR [ARCH [PYTHON]]
# ARCH is what `uname -m` prints there (aarch64, x86_64), PYTHON its version (3.11). Copy the checkout and DIR to the
# gateway and run: sudo systemd/install.sh --offline DIR
set -eu
[ $# -ge 1 ] || { echo "Usage: systemd/wheels.sh DIR [ARCH [PYTHON]]" >&2; exit 2; }
directory=$1
arch=${2:-$(uname -m)}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
python=$root/.venv/bin/python
[ -x "$python" ] || { echo "wheels.sh: there is no .venv; run make venv first" >&2; exit 69; }
version=${3:-$("$python" -Ic 'import sys; print("%d.%d" % sys.version_info[:2])')}
mkdir -p "$directory"
directory=$(CDPATH='' cd -- "$directory" && pwd)
rm -f "$directory"/edge_agent-*.whl

# pip needs each platform tag of a suitable wheel: glibc 2.17 (2014) to 2.36 (Debian 12).
set -- --platform "manylinux2014_$arch"
minor=17
while [ $minor -le 36 ]; do
  set -- "$@" --platform "manylinux_2_${minor}_$arch"
  minor=$((minor + 1))
done
cd /
"$python" -Im pip --disable-pip-version-check download -q --no-input --no-deps --only-binary :all: --require-hashes \
  --python-version "$version" --implementation cp "$@" -d "$directory" -r "$here/requirements.txt"
cd "$root"
"$python" -Im hatchling build -t wheel -d "$directory" >/dev/null 2>&1
echo "$(find "$directory" -name '*.whl' | wc -l) wheels for $arch and Python $version in $directory"
