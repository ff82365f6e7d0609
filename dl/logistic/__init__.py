"""Logistic regression under two losses: cross-entropy and the squared error of the probability."""
