"""Panels about the gateway itself."""

from configs.grafana.panel import RATE, Panel, quantiles, total

NOW = [
    Panel(
        "Alerts firing",
        "Present faults. The runbook, at /runbook of each agent, has an entry for each alert.",
        {'sum by (instance, alertname, severity) (ALERTS{alertstate="firing",@})': "alerts"},
        "short",
        "table",
        12,
    ),
    Panel(
        "Open findings",
        "The worst and newest findings by device, and for how long each has been open; at most 50 a gateway.",
        {
            "max by (instance, device, kind, severity)"
            " (time() - edge_finding_open_timestamp_seconds{@})": "open for"
        },
        "s",
        "table",
        12,
    ),
    Panel(
        "Open findings by severity",
        "All of them, also those beyond the 50 that are listed.",
        {"sum by (severity) (edge_findings_open{@})": "{{severity}}"},
        "short",
        "stat",
        6,
        steps={0.0: "green", 1.0: "red"},
    ),
    Panel(
        "Sources quiet",
        "Sources that have sent nothing for longer than usual.",
        {"sum(edge_source_quiet{@})": "sources"},
        "short",
        "stat",
        6,
        steps={0.0: "green", 1.0: "red"},
    ),
    Panel(
        "Model",
        "Open: the model is not asked, verdicts are local. Money has the cost, Traffic the errors.",
        {"max(ai_breaker_state{@})": "breaker"},
        "short",
        "stat",
        6,
        words={0: ("asked", "green"), 1: ("tried again", "orange"), 2: ("not asked", "red")},
    ),
    Panel(
        "Agents",
        "How many of the chosen agents can be scraped, and their versions.",
        {"sum(up{@})": "up", "count by (version) (edge_build_info{@})": "version {{version}}"},
        "short",
        "stat",
        6,
    ),
]

EDGE = [
    Panel(
        "Devices and open findings",
        "Devices known, and findings that are open now.",
        {"sum(edge_devices{@})": "devices", "sum(edge_findings_open{@})": "open findings"},
        "short",
        "stat",
        12,
    ),
    Panel(
        "Broker",
        "Whether each agent is connected. Otherwise readings wait in the broker and verdicts in the outbox.",
        {"edge_mqtt_connected{@}": "{{instance}}"},
        "short",
        "state-timeline",
        12,
        words={0: ("down", "red"), 1: ("connected", "green")},
    ),
    Panel(
        "Messages and readings",
        "Messages by source, and the readings made of all of them.",
        {
            f"sum by (source) (rate(edge_messages_total{{@}}[{RATE}]))": "{{source}}",
            f"sum(rate(edge_readings_total{{@}}[{RATE}]))": "readings",
        },
        "cps",
    ),
    Panel(
        "Messages by outcome",
        "Messages of text and no_value held nothing to watch; refused ones are in the quarantine.",
        total("edge_messages_total", "outcome"),
        "cpm",
    ),
    Panel(
        "Values skipped",
        "Values that became no reading, by reason. The status page names the last ones.",
        {
            f"sum by (source, reason) (rate(edge_values_skipped_total{{@}}[{RATE}])) * 60": (
                "{{source}} {{reason}}"
            )
        },
        "cpm",
    ),
    Panel(
        "Devices not readable",
        "Devices that send messages in which nothing can be read. The status page names them.",
        {"edge_devices_unreadable{@}": "{{instance}}"},
        "short",
    ),
    Panel(
        "Dropped and quarantined",
        "Dropped: the intake was full, the broker sends again. Quarantined: nothing could be read from it.",
        {
            **{
                expr: f"dropped: {legend}"
                for expr, legend in total("edge_mqtt_messages_dropped_total", "reason").items()
            },
            **total("edge_quarantined_total", "reason"),
        },
        "cpm",
    ),
    Panel(
        "Link",
        "Reconnects, messages the broker sent again, publishes it refused, messages it dropped, an hour.",
        {
            "sum(increase(edge_mqtt_reconnects_total{@}[1h]))": "reconnects",
            "sum(increase(edge_mqtt_redeliveries_total{@}[1h]))": "redeliveries",
            "sum(increase(edge_mqtt_repeats_possible_total{@}[1h]))": "possible duplicates",
            "sum(increase(edge_mqtt_publish_failures_total{@}[1h]))": "refused publishes",
            "sum(increase(edge_mqtt_broker_dropped_total{@}[1h]))": "dropped by the broker",
        },
        "short",
    ),
    Panel(
        "Queues",
        "How full each queue is. Above 80 % the alert EdgeBacklogGrowing follows.",
        {"max by (queue) (edge_queue_depth{@} / (edge_queue_capacity{@} > 0))": "{{queue}}"},
        "percentunit",
        steps={0.0: "green", 0.8: "red"},
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Outbox",
        "Messages that the broker has not acknowledged yet.",
        {"edge_outbox_depth{@}": "{{instance}}"},
        "short",
    ),
    Panel(
        "Reading to verdict",
        "From a window's last reading to its committed verdict.",
        quantiles("edge_reading_to_verdict_seconds", 0.5, 0.95),
        "s",
    ),
    Panel(
        "Windows",
        "Windows sealed a minute, by their trigger.",
        total("edge_windows_total", "trigger"),
        "cpm",
    ),
    Panel(
        "Open findings by kind",
        "silence is a device, or a metric of it, that has stopped sending.",
        {"sum by (kind) (edge_findings_open{@})": "{{kind}}"},
        "short",
    ),
    Panel(
        "Loops",
        "Time since each loop last made a turn. Above 60 s the alert EdgeLoopStuck follows.",
        {"max by (instance, loop) (time() - edge_heartbeat_timestamp_seconds{@})": "{{instance}} {{loop}}"},
        "s",
        steps={0.0: "green", 60.0: "red"},
    ),
    Panel(
        "Devices, last seen",
        "Time since the last reading and the usual time between two; at most 50 devices for each gateway.",
        {
            "max by (instance, device) (time() - edge_device_last_seen_timestamp_seconds{@})": "ago",
            "max by (instance, device) (edge_device_expected_interval_seconds{@})": "usual interval",
        },
        "s",
        "table",
        24,
    ),
    Panel(
        "Memory",
        "Resident memory. Above 150 MiB the alert EdgeMemoryHigh follows.",
        {"process_resident_memory_bytes{@}": "{{instance}}"},
        "bytes",
    ),
    Panel(
        "CPU",
        "Share of one core that the agent uses, its start included.",
        {f"rate(process_cpu_seconds_total{{@}}[{RATE}])": "{{instance}}"},
        "percentunit",
    ),
    Panel(
        "Journal",
        "Bytes used. At 80 % of journal.max_mib the status has a problem, at 95 % it stops acknowledging.",
        {"edge_journal_bytes{@}": "{{instance}}"},
        "bytes",
    ),
    Panel(
        "Starts",
        "Restarts in an hour. More than 3 in 30 minutes are the alert EdgeRestartLoop.",
        {"changes(process_start_time_seconds{@}[1h])": "{{instance}}"},
        "short",
    ),
    Panel(
        "Lost telemetry",
        "Log lines and spans an hour that could not be delivered.",
        {"sum by (signal) (increase(edge_telemetry_dropped_total{@}[1h]))": "{{signal}}"},
        "short",
    ),
    Panel(
        "Label values that did not fit",
        "Devices beyond 50 are not in the table above; elsewhere, what does not fit is counted as other.",
        {"max by (metric) (edge_label_overflow_total{@})": "{{metric}}"},
        "short",
    ),
]
