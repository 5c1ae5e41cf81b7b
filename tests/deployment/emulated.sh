# Typed in a Debian for arm64 that qemu emulates: install, run with devices and a model of the simulator, look.
set -eu
cd /root/checkout
systemd/install.sh --offline /root/wheels --no-start --id pi
cd /root
mkdir -p state
printf 'listener 1883 127.0.0.1\nallow_anonymous true\nuser root\n' >mosquitto.conf
mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
broker=$!
edge-sim model --port 8099 >model.log 2>&1 &
model=$!
sed -e 's|state_dir: /var/lib/edge-agent|state_dir: /root/state|; s|mode: suspicious|mode: all|' \
  -e 's|base_url: null|base_url: http://127.0.0.1:8099/v1|; s|max_age_s: 60,|max_age_s: 5,|' \
  /etc/edge-agent/agent.yaml >agent.yaml
edge-agent run --config agent.yaml >agent.log 2>&1 &
agent=$!
tries=0
until curl -sf -o page -m 5 http://127.0.0.1:8000/readyz; do
  tries=$((tries + 1))
  [ $tries -lt 90 ] || { tail -n 3 agent.log; exit 1; }
  sleep 1
done
edge-sim run site.yaml --broker mqtt://127.0.0.1:1883 --for 20
tries=0
until curl -s -m 5 http://127.0.0.1:8000/metrics >metrics && grep -q '^ai_verdicts_total{source="ai".* [1-9]' metrics; do
  tries=$((tries + 1))
  [ $tries -lt 90 ] || { tail -n 3 agent.log; exit 1; }
  sleep 1
done
grep -E '^(edge_build_info|edge_readings_total|ai_api_calls_total.*success)' metrics
edge-agent doctor --config agent.yaml --ai >doctor.log || { cat doctor.log; exit 1; }
echo "doctor: $(tail -n 1 doctor.log)"
kill $agent
wait $agent && echo "the agent stopped with 0 on $(uname -m)"
kill $model $broker
