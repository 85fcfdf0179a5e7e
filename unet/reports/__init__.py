"""Tables, charts and Markdown from the JSON of `unet.evaluation`, and the sheet of an upload."""
