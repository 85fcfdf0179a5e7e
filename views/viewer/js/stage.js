// The pictures of the viewer: what each pane shows.

/** What all panes show, as far as they have nothing of their own. @param {Viewer} viewer @returns {Look} */
function lookOf({ state, windows, model }) {
  return {
    channel: CHANNELS[state.channel],
    windows,
    overlay: state.hidden ? "None" : state.overlay,
    outline: state.style === "Outline",
    opacity: state.opacity / 100,
    threshold: state.threshold,
    model,
  };
}

/** @param {Viewer} viewer */
function drawPanes(viewer) {
  const { state, data, position, panes } = viewer;
  const look = lookOf(viewer);
  const [z, y, x] = position;
  const marks = { drawn: viewer.drawnMask(), measure: viewer.measured, spacing: data.spacing, colour: data.palette.yours };
  const slices = data.shape[0];
  /** @type {Record<Plane, Point>} */
  const crosshairs = { [AXIAL]: [x, y], [CORONAL]: [x, slices - 1 - z], [SAGITTAL]: [y, slices - 1 - z] };
  const pair = state.layout === "two" ? PAIRS[viewer.pair] : [{}, {}];
  panes.forEach((pane, i) => {
    if (pane.figure.hidden) return;
    const own = pair[i] ?? {};
    const channel = own.channel ?? state.channel;
    const paneLook = { ...look, ...own, channel: CHANNELS[channel], model: own.other ? viewer.atEpoch(data.other) : look.model };
    if (state.hidden) paneLook.overlay = "None";
    pane.draw(paneLook, position[[AXIAL, CORONAL, SAGITTAL].indexOf(pane.plane)], {
      crosshair: state.layout === "planes" ? crosshairs[pane.plane] : undefined,
      marks: pane.plane === AXIAL ? marks : undefined,
    });
    const shown = [t(channel)];
    if (paneLook.overlay !== "None") shown.push(overlayName(paneLook.overlay));
    if ("other" in own) shown.push(paneLook.model.name);
    const places = { name: data.names?.[z] ?? data.patient, plane: planeName(data, pane), number: z + 1, shown: shown.join(", ") };
    pane.canvas.ariaLabel = t("{name}, {plane} slice {number}, {shown}", places);
    pane.figure.querySelector("figcaption").textContent = captionText(viewer, pane, shown);
  });
}

/** The overlays of the panes that are on screen. @param {Viewer} viewer */
function overlaysShown({ state: { overlay, layout, hidden }, pair }) {
  if (hidden) return new Set(["None"]);
  return new Set(layout === "two" ? PAIRS[pair].map((own) => own.overlay ?? overlay) : [overlay]);
}

/** Show nothing of the patient before, whose slices do not belong under this one's name. @param {Viewer} viewer */
function blank(viewer) {
  for (const pane of viewer.panes) pane.clear();
  for (const part of [".where", ".numbers", ".note", ".legend", ".pixel"]) viewer.find(part).textContent = "";
  for (const canvas of viewer.root.querySelectorAll(".strip, .maps canvas")) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }
}

/** Offer the predicted mask of the slice as a PNG. @param {Viewer} viewer */
function saveMask(viewer) {
  const { study, data, model, position, state } = viewer;
  const [, rows, columns] = data.shape;
  if (!study.counts(model.id, position[0], state.threshold)) return; // not here yet
  const image = new ImageData(columns, rows);
  const mask = study.predicted(model.id, position[0], state.threshold);
  mask.forEach((value, i) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i));
  save(viewer, image, "predicted_mask");
}

/** Offer the slice with its overlay as a PNG. @param {Viewer} viewer */
function saveOverlay(viewer) {
  const { study, data, model, position, state } = viewer;
  if (!study.counts(model.id, position[0], state.threshold)) return; // not here yet
  save(viewer, new Painter(data.palette).paint(study, AXIAL, position[0], lookOf(viewer)), "overlay");
}

/**
 * @param {Viewer} viewer
 * @param {ImageData} image
 * @param {string} suffix of the file's name
 */
function save({ data, position }, image, suffix) {
  onCanvas(image).toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${data.patient}_${data.slice_numbers[position[0]]}_${suffix}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
