"""The data set: patients, volumes, splits, clinical table, download."""
