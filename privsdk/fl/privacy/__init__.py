"""Differential privacy of a training: of a party or of a record, its charges and forecasts."""
