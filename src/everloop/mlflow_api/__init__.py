"""The MLflow wire protocol over tracking and registry; built in a later release."""
