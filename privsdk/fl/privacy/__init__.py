"""Differential privacy of a training: of a party (DP-FedAvg) or of a record (DP-SGD), its charges and forecasts."""
