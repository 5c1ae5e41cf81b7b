"""Deployment: the installer, the unit, the wheels, and a run under a booted systemd."""
