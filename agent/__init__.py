"""Edge monitoring agent: sensor readings in over MQTT, checked verdicts out."""

__version__ = "0.1.0"
