// What the viewer says in words: progress, place, the pixel under the pointer, captions.

/** How far the networks are; when they are done, what ran. @param {Viewer} viewer */
function progressText(viewer) {
  const { study, data, model } = viewer;
  const problem = study.problem && t(study.problem);
  if (!study.shape) return problem ?? t("Loading the slices …");
  const other = data.other && viewer.atEpoch(data.other);
  for (const [network, name] of [[model, t("The network")], [other, other?.name]]) {
    const done = network ? study.arrived(network.id) : data.shape[0];
    if (done < data.shape[0]) return problem ?? t("{name}: {done} of {count} slices segmented", { name, done, count: data.shape[0] });
  }
  return model.engine;
}

/** Which slice is shown. @param {Viewer} viewer */
function placeText({ data: { names, shape, slice_order: order }, position: [z] }) {
  const places = { name: names?.[z] ?? "", number: z + 1, count: shape[0], order: t(order) };
  if (names) return t("{name} ({number} of {count})", places);
  return order ? t("Slice {number} of {count}, {order}", places) : t("Slice {number} of {count}", places);
}

/**
 * Grey values and probability at a voxel (z, y, x).
 * @param {Viewer} viewer
 * @param {Triple} voxel
 */
function pixelText({ study, data, state, model }, [z, y, x]) {
  const v = (z * data.shape[1] + y) * data.shape[2] + x;
  const intensity = (channel) => {
    const value = study.images[3 * v + channel] * study.unit[channel].scale + study.unit[channel].offset;
    return Number.isInteger(value) ? value : value.toPrecision(4);
  };
  const probability = study.models.get(model.id)?.probability[v];
  const parts = [state.layout === "planes" ? t("x {x}, y {y}, slice {number}", { x, y, number: z + 1 }) : t("x {x}, y {y}", { x, y })];
  // the slices of several patients are shown without their grey values
  if (!data.names) parts.push(t("pre {pre}, FLAIR {flair}, post {post}", { pre: intensity(0), flair: intensity(1), post: intensity(2) }));
  if (probability !== undefined) parts.push(t("probability {value}", { value: HALF_VALUES[probability].toFixed(3) }));
  return parts.join(" · ");
}

/**
 * What a pane shows.
 * @param {Viewer} viewer
 * @param {Pane} pane
 * @param {string[]} shown channel, overlay and network, as far as they are named
 */
function captionText({ state, data }, pane, shown) {
  if (state.layout === "two") return shown.join(" · ");
  if (state.layout === "one") return "";
  const name = planeName(data, pane);
  const known = data.spacing || pane.plane === AXIAL;
  return known ? name : t("{name}, distance between slices unknown: not to scale", { name });
}

/** The plane of a pane in the patient, as slices need not be axial. */
function planeName(data, pane) {
  return t(data.planes[[AXIAL, CORONAL, SAGITTAL].indexOf(pane.plane)]);
}

/** The name of an overlay on screen, by its code. @param {string} code */
function overlayName(code) {
  const [kind, level] = code.split(" ");
  return level ? t("Attention {level}", { level }) : t(kind);
}
