# Part of install.sh: one release is one virtual environment in /opt/edge-agent/releases, finished before it is used.
# shellcheck shell=sh disable=SC2034,SC2154  # the variables are install.sh's

# pip is run from the wheel that Python brings for its virtual environments, so no release holds one.
find_pip='
import ensurepip, glob, os, sys, sysconfig
places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")]
wheels = [name for place in places + ["/usr/share/python-wheels"] if place for name in glob.glob(place + "/pip-*.whl")]
sys.exit("none") if not wheels else print(wheels[0])'

find_python() {
  if [ -z "$python" ]; then
    python=/usr/bin/python3
    [ -x $python ] || python=$(command -v python3) || die 69 "Python is missing: apt-get install python3 python3-venv"
  fi
  case $python in /*) ;; *) python=$(command -v "$python") || die 69 "--python $python: there is no such program" ;; esac
  [ -x "$python" ] || die 69 "--python $python: there is no such program"
  "$python" -Ic 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die 69 "$python is older than Python 3.11: install a newer one and name it with --python"
  "$python" -Ic 'import ensurepip, sys; [__import__(name) for name in sys.argv[1:]]' ensurepip venv 2>/dev/null ||
    die 69 "$python cannot make virtual environments: apt-get install python3-venv"
  pip_wheel=$("$python" -Ic "$find_pip") || die 69 "$python has no pip to install with: apt-get install python3-venv"
  case $("$python" -Ic 'import sys; print(sys.base_prefix)') in
    /home/* | /root/* | /run/user/*)
      [ -n "$destdir" ] || die 69 "$python lies in a home directory, which the service cannot see: name another with --python" ;;
  esac
}

# The name of a release holds its version and a hash of all that goes into it, so the same release is not made twice.
name_release() {
  if [ -n "$offline" ]; then
    [ -d "$offline" ] || die 69 "--offline $offline: there is no such directory; make it with make wheels"
    offline=$(CDPATH='' cd -- "$offline" && pwd)
    set -- "$offline"/edge_agent-*-py3-none-any.whl
    [ -e "$1" ] || die 69 "--offline $offline: no edge_agent-*.whl in it; make it with make wheels"
    [ $# = 1 ] || die 69 "--offline $offline: more than one edge_agent-*.whl in it; leave only the one to install"
    wheel=$1
    version=${wheel##*/edge_agent-}
    version=${version%%-*}
  else
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$root/agent/__init__.py")
  fi
  sum=$({
    "$python" -Ic 'import sys; print(sys.executable, sys.version)'
    cat "$here/requirements.txt" "$here/edge-agent.service" "$root/configs/agent.yaml"
    if [ -n "$offline" ]; then cat "$wheel"; else
      cd "$root" && find agent simulator configs/demo.yaml docs/runbook.md pyproject.toml -type f ! -name '*.py[co]' |
        LC_ALL=C sort | while IFS= read -r file; do printf '%s\n' "$file"; cat "$file"; done
    fi
  } | sha256sum | cut -c 1-8)
  release=$opt/releases/$version-$sum
}

# -I and --isolated leave out what variables, home directories and the current directory hold; a build tool's process gets $tool alone.
pip() {
  env ${tool:+"PYTHONPATH=$tool"} "$place/bin/python" -I "$pip_wheel/pip" --isolated --disable-pip-version-check --no-input --no-cache-dir "$@"
}

# Everything is pinned by version and hash in requirements.txt, which is exported from uv.lock.
make_release() {
  place=$destdir$release
  if [ -e "$place/complete" ]; then say "release ${release##*/} is there already"; return; fi
  say "making release ${release##*/} with $("$python" -V)"
  rm -rf "$place"
  mkdir -p "$place"
  unfinished=$place
  "$python" -Im venv --without-pip "$place" || die 69 "no virtual environment could be made; nothing was changed"
  if [ -n "$offline" ]; then set -- --no-index --find-links "$offline"; else set --; fi
  pip install -q --no-compile --only-binary :all: --require-hashes "$@" -r "$here/requirements.txt" ||
    die 69 "not all that requirements.txt lists could be installed for $(uname -m); nothing was changed"
  if [ -z "$offline" ]; then build_wheel; fi
  pip install -q --no-compile --no-deps --no-index "$wheel" || die 69 "$wheel could not be installed; nothing was changed"
  rm -rf "$place/build"
  "$place/bin/python" -Im compileall -q -s "$destdir" -p / "$place/lib" || die 70 "$place/lib does not compile"
  unstage
  install -D -m 644 -t "$place/share/edge-agent" "$here/edge-agent.service" "$root/configs/agent.yaml" "$root"/*.md
  install_pages
  touch "$place/complete"
  unfinished=
}

# The pages and the configurations that README.md links to.
install_pages() {
  cd "$root" && find docs configs -type f ! -name '*.py' ! -name '*.py[co]' |
    while IFS= read -r file; do install -D -m 644 "$file" "$place/share/edge-agent/$file"; done
}

# Build the project's wheel in the new release, with the pinned build tool.
build_wheel() {
  pip install -q --only-binary :all: --require-hashes --target "$place/build/tool" -r "$here/requirements-build.txt" ||
    die 69 "the build tool could not be installed; nothing was changed"
  tool=$place/build/tool
  pip wheel -q --no-build-isolation --no-deps --no-index -w "$place/build" "$root" ||
    die 69 "no wheel could be built from $root; nothing was changed"
  tool=
  wheel=$(echo "$place"/build/edge_agent-*.whl)
}

# A staged release must not name the directory it was staged in.
unstage() {
  [ -n "$destdir" ] || return 0
  for file in "$place"/bin/* "$place/pyvenv.cfg"; do
    if [ -f "$file" ] && [ ! -L "$file" ]; then sed -i "s|$destdir$opt|$opt|g" "$file"; fi
  done
}

# Use the release from now on; the one that was in use is kept for --rollback.
switch_to() {
  used=$(target_of current)
  if [ "$used" != "$1" ]; then
    [ -z "$used" ] || point previous "$used"
    point current "$1"
    changed=yes
    switched=yes
  fi
  mkdir -p "$destdir$opt/bin" "$destdir/usr/local/bin"
  for name in edge-agent edge-sim; do
    [ -L "$destdir$opt/bin/$name" ] || point "bin/$name" "../current/bin/$name"
    [ -e "$destdir/usr/local/bin/$name" ] || [ -L "$destdir/usr/local/bin/$name" ] ||
      ln -s "$opt/bin/$name" "$destdir/usr/local/bin/$name"
  done
  install -d "$units"
  ! put "$destdir$opt/$1/share/edge-agent/edge-agent.service" "$units/edge-agent.service" 644 || changed=yes
}

forget_old_releases() {
  for place in "$destdir$opt"/releases/*; do
    case releases/${place##*/} in
      "$(target_of current)" | "$(target_of previous)") ;;
      *) rm -rf "$place" ;;
    esac
  done
}
