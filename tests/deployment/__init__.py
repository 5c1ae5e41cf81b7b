"""Installer, unit, wheels, and a run under a booted systemd."""
