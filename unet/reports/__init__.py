"""Tables, charts and Markdown from the JSON of `unet.evaluation.evaluate`, and the sheet of an upload."""
