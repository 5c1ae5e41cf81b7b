# Part of install.sh: configuration, unit, credentials, start, rollback and removal.
# shellcheck shell=sh disable=SC2034,SC2154  # the variables are install.sh's

install_all() {
  find_python
  name_release
  if [ "$broker" = yes ]; then need_mosquitto; fi
  make_release
  install -d "$etc"
  if [ -z "$id" ]; then id=$(uname -n | tr -c 'A-Za-z0-9_\n-' '-' | cut -c 1-64); fi
  fill_in "$id" >"$scratch/agent.yaml"
  offer "$scratch/agent.yaml" "$config" 644
  if [ "$broker" = yes ]; then set_up_mosquitto; fi
  if [ -z "$destdir" ]; then
    "$release/bin/edge-agent" check --config "$config" >/dev/null ||
      die 2 "the new release does not accept $config; correct it and run this again; the service was not touched"
  fi
  switch_to "releases/${release##*/}"
  say "release ${release##*/} is in use"
  [ "$start" = yes ] || { say "not started"; return; }
  if [ "${broker_changed:-no}" = yes ]; then restart_mosquitto; fi
  start_service
  forget_old_releases
  if [ "$broker" = yes ]; then systemctl kill -s USR1 mosquitto; fi # save once: a power cut shall find the agent's session
  say "edge-agent doctor says:"
  "$opt/bin/edge-agent" doctor --config "$config" ||
    die 69 "installed and running, but doctor found a fault: change what it says and run edge-agent doctor again"
}

# Print the shipped configuration with the agent's id and, with a broker of ours, its login.
fill_in() {
  if [ "$broker" = yes ]; then
    login="s/^  username: null.*/  username: agent-$1/; s/^  password_file: null.*/  password_file: mqtt.password/"
  else
    login=
  fi
  sed -e "s/^  # id: gw1  .*/  id: $1/" -e "/^mqtt:/,/^sources:/{$login
}" "$root/configs/agent.yaml"
}

# Start the release that is installed now; where that fails after a switch, go back to the release before.
start_service() {
  systemctl daemon-reload
  systemctl enable -q edge-agent
  if [ "$changed" = no ] && systemctl is-active -q edge-agent; then say "nothing changed; the service runs on"; return; fi
  ! restart || return 0
  last_words
  before=$(target_of previous)
  if [ "${switched:-no}" = no ] || [ -z "$before" ]; then
    die 69 "the service does not start; systemctl status edge-agent says more"
  fi
  failed=${release##*/}
  switch_to "$before"
  systemctl daemon-reload
  restart || die 69 "neither $failed nor ${before##*/} starts; systemctl status edge-agent says more"
  die 69 "$failed does not start; ${before##*/} runs again"
}

restart() {
  systemctl reset-failed edge-agent 2>/dev/null || true
  systemctl restart edge-agent 2>/dev/null && systemctl is-active -q edge-agent
}

# The service's last output: a line for people, or the event of a fault of ours.
last_words() {
  journalctl -q -u edge-agent -n 50 -o cat --no-pager 2>/dev/null | grep -E '^edge-agent: |"agent_failed"' | tail -n 1 >&2 || true
}

roll_back() {
  before=$(target_of previous)
  if [ -z "$before" ] || [ ! -e "$destdir$opt/$before/complete" ]; then die 69 "there is no release to go back to"; fi
  switch_to "$before"
  release=$before
  say "release ${before##*/} is in use"
  if [ "$start" = yes ]; then start_service; fi
}

# A secret is a file of root's that systemd hands to the service, so neither the service nor its user can change it.
add_credential() {
  case $credential in
    '' | .* | agent.yaml* | *[!A-Za-z0-9._-]*) die 2 "--credential '$credential': a name has A-Z a-z 0-9 . _ - only, for example ai.key" ;;
  esac
  [ ! -t 0 ] || say "the secret, then Ctrl-D:"
  secret=$(cat)
  [ -n "$secret" ] || die 2 "--credential $credential: standard input was empty"
  keep_secret "$credential" "$secret"
  say "kept as ${etc#"$destdir"}/$credential; name it in agent.yaml, for example api_key_file: $credential"
  if [ "$start" = yes ] && systemctl is-active -q edge-agent; then
    systemctl daemon-reload
    restart || { last_words; die 69 "the service does not start with it; systemctl status edge-agent says more"; }
  fi
}

keep_secret() {
  changed=yes
  install -d "$etc" "$units/edge-agent.service.d"
  (umask 077; printf '%s\n' "$2" >"$etc/$1.part")
  mv -f "$etc/$1.part" "$etc/$1"
  printf '# One drop-in for each secret: a file that is missing stops the start.\n[Service]\nLoadCredential=%s:/etc/edge-agent/%s\n' \
    "$1" "$1" >"$units/edge-agent.service.d/$1.conf"
}

remove_all() {
  if booted; then systemctl disable -q --now edge-agent 2>/dev/null || true; fi
  rm -f "$units/edge-agent.service" "$units/multi-user.target.wants/edge-agent.service"
  for name in edge-agent edge-sim; do
    if [ "$(readlink "$destdir/usr/local/bin/$name" 2>/dev/null)" = "$opt/bin/$name" ]; then rm "$destdir/usr/local/bin/$name"; fi
  done
  rm -rf "$destdir$opt"
  if [ "$action" = purge ]; then
    rm -rf "$etc" "$units/edge-agent.service.d" "$destdir/var/lib/edge-agent" "$destdir/var/lib/private/edge-agent"
    if [ "$broker" = yes ]; then remove_from_mosquitto; fi
  fi
  service daemon-reload
  service reset-failed edge-agent 2>/dev/null || true
  if [ "$action" = purge ]; then say "removed, with configuration, secrets, journal and budget"; else
    say "removed; kept: /etc/edge-agent and /etc/systemd/system/edge-agent.service.d (configuration, secrets), /var/lib/edge-agent (journal, budget)"
  fi
}
