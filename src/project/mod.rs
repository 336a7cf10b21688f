//! From config to things that run: the one place that builds models, scorers and targets.
