"""Studies, trials and automatic model choice; built in a later release."""
