"""Writes the shipped Grafana dashboard from a table of panels."""
