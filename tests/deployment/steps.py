"""Steps of the run under a booted systemd; each returns its observation or fails."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.container import Container
from tests.deployment.readme import REPO, typed
from tests.deployment.site import HERE, MODEL, Devices, Look, Model, commit_version, configure
from tests.support.waiting import wait_for


@dataclass(slots=True)
class Site:
    """One booted machine and where to look; ``journal_id`` is that of the first start."""

    machine: Container
    folder: Path
    look: Look
    journal_id: str = ""


def first_commands(site: Site) -> str:
    """Type the page's first block; the service answers with a reading."""
    told = {command: site.machine.run(command, limit_s=600) for command in typed(1)}
    scrape = next(text for command, text in told.items() if command.startswith("curl"))
    assert float(scrape.rsplit(" ", 1)[1]) >= 1, scrape
    summary = told["sudo edge-agent doctor"].strip().splitlines()[-1]
    assert summary.endswith("0 fail"), summary
    site.journal_id = str(site.look.status()["journal"].get("id", ""))
    return f"{len(told)} commands; scrape {scrape.strip()!r}; doctor: {summary}"


def sandbox(site: Site) -> str:
    """Look at the running process: seccomp, no privileges, no capability, a user of its own."""
    assert site.look.active()
    status = site.machine.run(f"cat /proc/{site.look.main_pid()}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["Seccomp"], fields["NoNewPrivs"]) == ("2", "1")
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    uid = int(fields["Uid"].split()[0])
    assert 61184 <= uid <= 65519, f"user {uid} is none that systemd made"
    score = (
        site.machine.run("systemd-analyze security edge-agent --no-pager", check=False)
        .strip()
        .splitlines()[-1]
    )
    return f"seccomp, no capability, user {uid}; {score.strip()[2:]}"


def probe(site: Site) -> str:
    """Run :mod:`tests.deployment.probe` with the unit's own settings."""
    release = site.machine.root / "opt/edge-agent/current"
    shutil.copy(HERE / "probe.py", site.machine.root / "opt/edge-agent/probe.py")
    unit = (site.machine.root / "etc/systemd/system/edge-agent.service").read_text()
    unit = re.sub(r"(?m)^Type=.*$", "Type=oneshot", unit)
    unit = re.sub(
        r"(?m)^ExecStart=.*$", "ExecStart=/opt/edge-agent/current/bin/python /opt/edge-agent/probe.py", unit
    )
    unit = re.sub(r"(?m)^(Restart|WatchdogSec|NotifyAccess|StateDirectory|ExecReload).*\n", "", unit)
    (site.machine.root / "etc/systemd/system/edge-probe.service").write_text(unit)
    assert release.is_symlink()
    site.machine.run("systemctl daemon-reload; systemctl start edge-probe", check=False)
    text = site.machine.run("journalctl -u edge-probe -o cat --no-pager")
    faults = [line for line in text.splitlines() if line.startswith("FAULT")]
    good = [line for line in text.splitlines() if line.startswith("ok ")]
    site.machine.run(
        "rm /etc/systemd/system/edge-probe.service /opt/edge-agent/probe.py; systemctl daemon-reload"
    )
    assert not faults, "\n".join(faults)
    assert len(good) > 20, text
    return f"{len(good)} checks"


def again(site: Site) -> str:
    """Install again: the same process runs on."""
    before = site.look.main_pid()
    text = site.machine.run("sudo systemd/install.sh --with-mosquitto")
    assert "nothing changed" in text, text
    assert site.look.main_pid() == before
    return "the same process runs on"


def credential(site: Site) -> str:
    """Type the page's second block; the secret is the service's alone."""
    (site.machine.root / "root/edge-agent/ai.key").write_text("sk-of-the-test\n")
    for command in typed(2):
        site.machine.run(command)
    site.look.wait_active()
    pid = site.look.main_pid()
    assert site.machine.run("stat -c %a /etc/edge-agent/ai.key").strip() == "600"
    assert "sk-of-the-test" not in site.machine.run(
        f"cat /proc/{pid}/environ /proc/{pid}/cmdline | tr '\\0' ' '"
    )
    seen = site.machine.run(f"cat /proc/{pid}/root/run/credentials/edge-agent.service/ai.key")
    assert seen.strip() == "sk-of-the-test"
    return "in $CREDENTIALS_DIRECTORY, not in the environment"


def verdicts(site: Site) -> str:
    """Let the simulator's devices and model work: verdicts of the model, and doctor without a warning."""
    configure(
        site.machine,
        base_url=f"  base_url: {MODEL}",
        api_key_file="  api_key_file: ai.key",
        mode="  mode: all",
        max_age_s="    max_age_s: 5",
        max_readings="    max_readings: 20",
    )
    site.machine.run("mosquitto_passwd -b /etc/mosquitto/edge-agent.passwords room-1 a-password")
    site.machine.run("systemctl reload mosquitto; systemctl restart edge-agent")
    with Model(site.machine, site.folder), Devices(site.machine, site.folder):
        site.look.wait_metric("edge_readings_total", 40, 60)
        site.look.wait_metric("ai_verdicts_total", 2, 60)
        calls = site.look.metric("ai_api_calls_total")
        assert calls >= 1
        for _ in range(3):  # on a busy machine something may not arrive while doctor listens
            doctor = site.look.doctor()
            poor = [line for line in doctor["lines"] if line["level"] != "ok"]
            if not poor:
                break
        assert not poor, poor
    readings = site.look.metric("edge_readings_total")
    return f"{readings:.0f} readings, {calls:.0f} calls; doctor: {len(doctor['lines'])} ok, 0 warn, 0 fail"


def killed(site: Site) -> str:
    """Kill the process while readings come."""
    with Devices(site.machine, site.folder):
        site.look.wait_metric("edge_readings_total", site.look.metric("edge_readings_total") + 4, 30)
        rows, before = site.look.rows("messages"), site.look.main_pid()
        site.machine.run(f"kill -9 {before}")
        wait_for(lambda: site.look.main_pid() not in {0, before}, 30, "another process", 0.2)
        site.look.wait_active()
        site.look.wait_metric("edge_readings_total", 4, 30)
    after = site.look.rows("messages")
    assert after > rows
    return f"process {before} became {site.look.main_pid()}; {rows} messages journaled before, {after} now"


def watchdog(site: Site) -> str:
    """Stop the process: systemd misses its beats and ends it."""
    before = site.look.main_pid()
    site.machine.run(f"kill -STOP {before}")
    wait_for(lambda: site.look.main_pid() not in {0, before}, 70, "another process after the watchdog", 1.0)
    site.look.wait_active()
    told = site.machine.run("journalctl -u edge-agent -o cat --no-pager | grep -i 'watchdog timeout'")
    return told.strip().splitlines()[-1]


def wrong_configuration(site: Site) -> str:
    """A wrong value stops the service for good, and is reported."""
    path = site.machine.root / "etc/edge-agent/agent.yaml"
    good = path.read_text()
    path.write_text(good.replace("max_mib: 512", "max_mib: much"))
    site.machine.run("systemctl restart edge-agent", check=False)
    told = ended_with(site, 2)
    assert "journal.max_mib" in told, told
    path.write_text(good)
    site.machine.run("systemctl restart edge-agent")
    site.look.wait_active()
    return told


def ended_with(site: Site, code: int) -> str:
    """Return the line that the service ended with, once systemd has given it up."""
    wait_for(
        lambda: site.machine.run("systemctl is-failed edge-agent", check=False).strip() == "failed",
        30,
        "systemd gives the service up",
    )
    status = site.machine.run("systemctl show -P ExecMainStatus edge-agent").strip()
    assert status == str(code), status
    lines = site.machine.run("journalctl -u edge-agent -n 30 -o cat --no-pager").splitlines()
    return [line for line in lines if line.startswith("edge-agent: ")][-1]


def version(site: Site) -> str:
    """Return the version that runs."""
    return str(site.look.status().get("version", ""))


def upgrade(site: Site) -> str:
    """Type the page's third block, first line, after another version was committed."""
    rows, old = site.look.rows("messages"), version(site)
    commit_version(site.machine, "0.1.1")
    text = site.machine.run(typed(3)[0], limit_s=600)
    site.look.wait_active()
    assert version(site) == "0.1.1"
    assert site.look.rows("messages") >= rows, f"{rows} messages before, {site.look.rows('messages')} after"
    assert "kept /etc/edge-agent/agent.yaml as you have it" in text, text
    return f"{old} became {version(site)}; {rows} messages before, {site.look.rows('messages')} after"


def broken_release(site: Site) -> str:
    """A release that ends at once: the script reports it, and the one before runs."""
    commit_version(site.machine, "0.1.2", broken=True)
    text = site.machine.run(typed(3)[0], code=69, limit_s=600)
    site.look.wait_active()
    assert version(site) == "0.1.1"
    return text.strip().splitlines()[-1]


def rollback(site: Site) -> str:
    """Type the page's rollback, from a release that works."""
    site.machine.run("git -C /root/source reset -q --hard HEAD~1")
    commit_version(site.machine, "0.1.3")
    site.machine.run(f"git fetch -q && git reset -q --hard origin/HEAD && {typed(3)[0]}", limit_s=600)
    site.look.wait_active()
    assert version(site) == "0.1.3"
    site.machine.run(typed(3)[1])
    site.look.wait_active()
    assert version(site) == "0.1.1"
    return f"0.1.3 became {version(site)}"


def downgrade(site: Site) -> str:
    """Pretend that a newer release wrote the journal."""
    journal = "/var/lib/edge-agent/journal.sqlite"
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    code += "v = c.execute('PRAGMA user_version').fetchone()[0]; "
    site.machine.run("systemctl stop edge-agent")
    site.machine.run(f"python3 -c \"{code} c.execute(f'PRAGMA user_version={{v + 1}}')\" {journal}")
    digest = site.machine.run(f"sha256sum {journal}")
    site.machine.run("systemctl start edge-agent", check=False)
    told = ended_with(site, 69)
    assert digest == site.machine.run(f"sha256sum {journal}")
    site.machine.run(f"python3 -c \"{code} c.execute(f'PRAGMA user_version={{v - 1}}')\" {journal}")
    site.machine.run("systemctl reset-failed edge-agent; systemctl start edge-agent")
    site.look.wait_active()
    return told


def leftovers(site: Site) -> list[str]:
    """List what the machine still holds of the agent."""
    places = "/opt /etc/edge-agent /etc/systemd/system /usr/local/bin /var/lib /etc/mosquitto"
    names = "-name '*edge-agent*' -o -name '*edge-sim*'"
    found = site.machine.run(f"find -H {places} \\( {names} \\) -prune 2>/dev/null", check=False).split()
    return sorted(path for path in found if not path.startswith("/var/lib/systemd"))


def uninstall(site: Site) -> str:
    """Type the page's fourth block, first line."""
    rows = site.look.rows("messages")
    site.machine.run(typed(4)[0])
    assert not site.look.active()
    left = leftovers(site)
    assert "/opt/edge-agent" not in left
    assert "/etc/systemd/system/edge-agent.service" not in left
    journal = site.machine.root / "var/lib/private/edge-agent/journal.sqlite"
    assert journal.exists()
    return f"kept {', '.join(left)} with {rows} messages"


def purge(site: Site) -> str:
    """Type the page's fourth block, second line."""
    site.machine.run(typed(4)[1])
    left = leftovers(site)
    assert not left, left
    assert site.machine.run("systemctl is-active mosquitto").strip() == "active"
    return "no file of ours; Mosquitto runs"


def offline(site: Site) -> str:
    """Make the wheels here, cut the machine off, and type the page's last block there."""
    wheels = site.machine.root / "root/edge-agent/wheels"
    told = subprocess.run(
        [REPO / "systemd/wheels.sh", wheels, os.uname().machine, "3.11"],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    site.machine.cut_off()
    for command in typed(5):
        site.machine.run(command)
    site.look.wait_active()
    return told.stdout.strip()
