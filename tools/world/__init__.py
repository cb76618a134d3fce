"""The world that module and platform share: one clock, one network, one list of what happened."""
