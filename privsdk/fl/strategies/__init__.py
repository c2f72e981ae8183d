"""Strategies: how updates become the next model. Each replaces a part of FedAvg, which is `fl.fedavg`."""
