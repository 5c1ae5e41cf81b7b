"""The status object: its shape, its report and its words."""
