"""One file a format, behind `unet.readers`, which is the door; and which sequence a name or a header speaks of."""
