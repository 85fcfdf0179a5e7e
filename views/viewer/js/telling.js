// What Python hears of the view: the volume, the slice, the threshold and the outlines, when the view has come to rest.

/** Tell Python where the view is, where the visitor or the lesion has decided that. @param {Viewer} viewer */
function tellPython(viewer) {
  const { left, follows, data, study, position, state, outline } = viewer;
  if (left || follows || data.start || !study.shape) return;
  const view = { volume: data.volume, slice: position[0], threshold: state.threshold, strokes: outline.strokes };
  const message = JSON.stringify(view);
  if (message !== viewer.told) viewer.tell(view);
  viewer.told = message;
}

/** Whether Python knows of the volume and the slice that it was told last. @param {Viewer} viewer */
function isHeard({ told, data }) {
  if (!told) return true;
  const { volume, slice } = JSON.parse(told);
  return data.heard?.volume === volume && data.heard.slice === slice;
}

/** Tell those who listen to the page where the view is. @param {Viewer} viewer */
function announce(viewer) {
  const { study, model, position, state } = viewer;
  const { predicted } = study.counts(model.id, position[0], state.threshold) ?? {};
  const told = [placeText(viewer)];
  if (predicted !== undefined) told.push(t("Predicted area {area}", { area: areaText(viewer, predicted) }));
  viewer.find("[aria-live]").textContent = `${told.join(". ")}.`;
}
