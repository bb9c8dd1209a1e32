"""The MLflow wire protocol over tracking and registry: an edge that translates, and keeps only what the protocol must remember."""
