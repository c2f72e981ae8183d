"""Models: their networks, features and targets, local training, scores."""
