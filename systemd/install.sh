#!/bin/sh
# Installs edge-agent on this machine as a service. May be run again at any time: what is there already stays.
# Paths and removal are described in docs/deployment.md.
set -eu
umask 022

# All of this runs as root: no program, module or setting is taken from the current directory or the caller's environment.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
for name in $(env | sed -n 's/^\(PYTHON[A-Z0-9_]*\|PIP_[A-Z0-9_]*\|HATCH_[A-Z0-9_]*\|VIRTUAL_ENV\|TMPDIR\|CDPATH\|GREP_OPTIONS\)=.*/\1/p'); do
  unset "$name"
done

usage() {
  cat <<'END'
Usage: sudo systemd/install.sh [OPTION]...
Installs or upgrades edge-agent: program, unit, configuration; starts it and asks `edge-agent doctor`.

  --with-mosquitto    also set up the Mosquitto of this machine: configuration, ACL, a login for the agent
  --id ID             agent.id of a new configuration (default: the host name)
  --offline DIR       take wheels from DIR only, made elsewhere by `make wheels`; no network
  --python FILE       the Python to use, 3.11 or newer (default: /usr/bin/python3)
  --no-start          do not start the service (the default with DESTDIR)
  --credential NAME   read a secret from standard input, keep it as /etc/edge-agent/NAME, hand it to the service
  --rollback          go back to the release before this one
  --uninstall         remove program and unit; keep configuration, secrets, journal and budget
  --purge             remove those too; with --with-mosquitto also what was installed for Mosquitto
  --help              this text

DESTDIR=/some/root in the environment makes a staged installation below that directory and starts nothing.
Exit codes: 0 done, 2 wrong usage or configuration, 69 something that is needed is not there, or doctor found a fault.
END
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
destdir=${DESTDIR:-}
opt=/opt/edge-agent
etc=$destdir/etc/edge-agent
units=$destdir/etc/systemd/system
mosquitto=$destdir/etc/mosquitto
config=$etc/agent.yaml
scratch=''    # for files that are made here
unfinished='' # a release that is not complete
changed=no    # whether the service must be restarted

say() { printf '%s\n' "$*"; }
die() { code=$1; shift; printf 'install.sh: %s\n' "$*" >&2; exit "$code"; }
clean_up() { rm -rf ${scratch:+"$scratch"} ${unfinished:+"$unfinished"}; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

action=install offline='' python='' id='' credential='' broker=no start=yes
while [ $# -gt 0 ]; do
  case $1 in
    --with-mosquitto) broker=yes ;;
    --no-start) start=no ;;
    --rollback) action=rollback ;;
    --uninstall) action=uninstall ;;
    --purge) action=purge ;;
    --help | -h) usage; exit 0 ;;
    --id | --offline | --python | --credential)
      [ $# -ge 2 ] || die 2 "$1 wants a value; see --help"
      case $1 in
        --id) id=$2 ;;
        --offline) offline=$2 ;;
        --python) python=$2 ;;
        --credential) action=credential credential=$2 ;;
      esac
      shift ;;
    *) die 2 "$1 is not an option; see --help" ;;
  esac
  shift
done

case $offline in '' | /*) ;; *) offline=$PWD/$offline ;; esac
case $python in /*) ;; */*) python=$PWD/$python ;; esac
cd /

[ -z "$destdir" ] || start=no
[ -n "$destdir" ] || [ "$(id -u)" = 0 ] || die 69 "root is needed: run it with sudo, or set DESTDIR for a staged installation"
case $destdir in '' | /*) ;; *) die 2 "DESTDIR=$destdir is not an absolute path" ;; esac
case $id in *[!A-Za-z0-9_-]*) die 2 "--id $id: an id has 1 to 64 of A-Z a-z 0-9 _ - only" ;; esac
[ "${#id}" -le 64 ] || die 2 "--id: an id has at most 64 characters"

# The code that root is about to run must not be everybody's to change.
refuse_writable_checkout() {
  [ "$(id -u)" = 0 ] || return 0
  open=$(find "$root" -maxdepth 0 -perm -002
    find "$here" "$root/agent" "$root/simulator" "$root/configs" "$root/pyproject.toml" ! -type l -perm -002)
  [ -z "$open" ] || die 69 "every user can write $(printf '%s\n' "$open" | head -n 1): run chmod -R o-w $root, after a look at what is in it"
}

booted() { [ -z "$destdir" ] && [ -d /run/systemd/system ]; }
[ "$start" = no ] || booted || [ "$action" = uninstall ] || [ "$action" = purge ] ||
  die 69 "systemd does not run this machine; --no-start installs the files alone"

# systemctl, where systemd runs.
service() { ! booted || systemctl "$@"; }

# put SOURCE TARGET MODE: replace a file in one step, only when it differs; true if it did.
put() {
  if [ -e "$2" ] && cmp -s "$1" "$2"; then chmod "$3" "$2"; return 1; fi
  { install -D -m "$3" "$1" "$2.part" && mv -f "$2.part" "$2"; } || die 70 "$2 cannot be written"
}

# offer SOURCE TARGET MODE: install a file that people edit; an edited one stays and the new one is written next to it.
offer() {
  if [ ! -e "$2" ] || cmp -s "$1" "$2"; then
    rm -f "$2.new"
    if put "$1" "$2" "$3"; then
      changed=yes
      say "installed ${2#"$destdir"}"
    fi
  elif put "$1" "$2.new" "$3"; then
    say "kept ${2#"$destdir"} as you have it; the new default lies beside it as $(basename "$2").new"
  fi
}

# point NAME TARGET: make the link $opt/NAME in one step.
point() {
  ln -sfn "$2" "$destdir$opt/$1.part"
  mv -fT "$destdir$opt/$1.part" "$destdir$opt/$1"
}

target_of() { readlink "$destdir$opt/$1" 2>/dev/null || true; }

refuse_writable_checkout
. "$here/install-release.sh"
. "$here/install-service.sh"
. "$here/install-mosquitto.sh"

scratch=$(mktemp -d)
case $action in
  install) install_all ;;
  rollback) roll_back ;;
  credential) add_credential ;;
  uninstall | purge) remove_all ;;
esac
