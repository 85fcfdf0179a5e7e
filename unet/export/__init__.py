"""Results as files: PNG, NIfTI, DICOM-SEG, CSV, HTML."""
