# Runs as root in a virtual machine with a kernel of its own, and writes to its second serial console.
cd /root/checkout || exit 1
export HOME=/root
group=/sys/fs/cgroup/system.slice/edge-agent.service
echo "SEEN $(stat -fc %T /sys/fs/cgroup), Linux $(uname -r), $(systemctl --version | head -n 1)"
systemd/install.sh --offline /root/wheels --with-mosquitto --id gw1
echo "SEEN limits: memory.max $(cat $group/memory.max), high $(cat $group/memory.high), pids.max $(cat $group/pids.max)"
mosquitto_passwd -b /etc/mosquitto/edge-agent.passwords room-1 a-password
systemctl reload mosquitto
edge-sim model --port 8099 >/dev/null 2>&1 &
sed -i 's|base_url: null|base_url: http://127.0.0.1:8099/v1|; s|mode: suspicious|mode: all|' /etc/edge-agent/agent.yaml
systemctl stop edge-agent
seq 1 20000 | awk '{print 20 + $1 % 50 / 10}' |
  mosquitto_pub -h 127.0.0.1 -V 5 -q 1 -u room-1 -P a-password -t sensors/room-1/temperature -l
systemctl start edge-agent
tries=0
until curl -s -m 5 http://127.0.0.1:8000/metrics >/root/metrics && grep -q '^edge_readings_total 20000' /root/metrics; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || break
  sleep 2
done
sleep 5
curl -s -m 5 http://127.0.0.1:8000/metrics >/root/metrics
echo "SEEN $(grep ^edge_readings_total /root/metrics), $(grep '^ai_api_calls_total.*success' /root/metrics)"
echo "SEEN memory: now $(cat $group/memory.current), peak $(cat $group/memory.peak 2>/dev/null || echo '(kernel too old)'), kills $(sed -n 's/^oom_kill //p' $group/memory.events), restarts $(systemctl show -P NRestarts edge-agent)"
install -D -m 644 systemd/offline.conf /etc/systemd/system/edge-agent.service.d/offline.conf
systemctl daemon-reload
systemctl restart edge-agent
echo "SEEN offline.conf: $(systemctl is-active edge-agent), $(systemctl show -p IPAddressDeny edge-agent)"
printf '[Service]\nMemoryHigh=infinity\nMemoryMax=24M\n' >/etc/systemd/system/edge-agent.service.d/small.conf
systemctl daemon-reload
systemctl restart edge-agent
sleep 10
echo "SEEN control of 24 MiB: $(journalctl -u edge-agent -o cat --no-pager | grep -c 'oom-kill') ended by the kernel"
echo "SEEN the end"
systemctl poweroff -ff
