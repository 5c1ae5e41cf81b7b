# Part of install.sh: the Mosquitto of this machine, its ACL and the agent's login.
# shellcheck shell=sh disable=SC2034,SC2154  # the variables are install.sh's

need_mosquitto() {
  PATH=$PATH:/usr/sbin
  command -v mosquitto_passwd >/dev/null || die 69 "Mosquitto is missing: apt-get install mosquitto mosquitto-clients"
  # Mosquitto does not start when one of these is set twice.
  for file in "$mosquitto/mosquitto.conf" "$mosquitto"/conf.d/*.conf; do
    if [ "${file##*/}" != edge-agent.conf ] && grep -qsE '^[[:space:]]*(password_file|acl_file)[[:space:]]' "$file"; then
      die 69 "${file#"$destdir"} has a password_file or an acl_file of its own: add configs/mosquitto/ to it by hand, and leave --with-mosquitto out"
    fi
  done
}

set_up_mosquitto() {
  # The id is the configuration's, which may be older than this run.
  configured=$(sed -n '/^agent:/,/^[a-z]/s/^  id: *\([A-Za-z0-9_-]*\).*/\1/p' "$config")
  id=${configured:-$id}
  user=agent-$id
  install -d "$mosquitto/conf.d"
  sed "s/\bgw1\b/$id/g" "$root/configs/mosquitto/edge-agent.acl" >"$scratch/edge-agent.acl"
  before=$(cat "$mosquitto/edge-agent.acl" "$mosquitto/edge-agent.passwords" "$mosquitto/conf.d/edge-agent.conf" 2>/dev/null || true)
  offer "$scratch/edge-agent.acl" "$mosquitto/edge-agent.acl" 640
  offer "$root/configs/mosquitto/edge-agent.conf" "$mosquitto/conf.d/edge-agent.conf" 644
  make_login
  if [ -z "$destdir" ]; then chgrp mosquitto "$mosquitto/edge-agent.acl" "$mosquitto/edge-agent.passwords"; fi
  chmod 640 "$mosquitto/edge-agent.passwords"
  after=$(cat "$mosquitto/edge-agent.acl" "$mosquitto/edge-agent.passwords" "$mosquitto/conf.d/edge-agent.conf")
  [ "$before" = "$after" ] || broker_changed=yes
  grep -q "^  username: *$user\b" "$config" ||
    say "to log in, agent.yaml needs under mqtt: username: $user and password_file: mqtt.password"
  say "each device needs a login of its own: mosquitto_passwd /etc/mosquitto/edge-agent.passwords NAME; systemctl reload mosquitto"
}

# A random password, kept for the agent as a credential and for the broker as a hash.
make_login() {
  passwords=$mosquitto/edge-agent.passwords
  if [ -s "$etc/mqtt.password" ] && grep -qs "^$user:" "$passwords"; then return; fi
  if [ ! -s "$etc/mqtt.password" ]; then
    keep_secret mqtt.password "$(od -An -N 24 -tx1 /dev/urandom | tr -d ' \n')"
  fi
  (umask 077; printf '%s:%s\n' "$user" "$(cat "$etc/mqtt.password")" >"$passwords.part")
  mosquitto_passwd -U "$passwords.part" || die 70 "mosquitto_passwd refused the login"
  if [ -e "$passwords" ]; then grep -v "^$user:" "$passwords" >>"$passwords.part" || true; fi
  mv -f "$passwords.part" "$passwords"
  say "made the login $user in ${passwords#"$destdir"}; its password is /etc/edge-agent/mqtt.password"
}

restart_mosquitto() {
  if systemctl restart mosquitto; then say "restarted Mosquitto: who has no login is refused from now on"; return; fi
  mv -f "$mosquitto/conf.d/edge-agent.conf" "$mosquitto/conf.d/edge-agent.conf.refused"
  systemctl restart mosquitto || true
  die 69 "Mosquitto does not start with edge-agent.conf, which was set aside as edge-agent.conf.refused; journalctl -u mosquitto says why"
}

remove_from_mosquitto() {
  rm -f "$mosquitto/conf.d/edge-agent.conf" "$mosquitto/conf.d/edge-agent.conf.new" "$mosquitto/conf.d/edge-agent.conf.refused"
  rm -f "$mosquitto/edge-agent.acl" "$mosquitto/edge-agent.acl.new" "$mosquitto/edge-agent.passwords"
  if booted; then systemctl restart mosquitto || true; fi
}
