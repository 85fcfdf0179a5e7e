// The address of the page: it opens the view that is on screen.

/**
 * Take the view from the link, once: afterwards the visitor decides. Returns the slice it names, if any.
 * @param {Viewer} viewer
 * @param {number} slices
 */
function readLink(viewer, slices) {
  const { state, linked, data } = viewer;
  for (const name of ["channel", "overlay", "style", "layout", "pair"]) {
    if (Object.hasOwn(CHOICES[name], linked.get(name))) state[name] = linked.get(name);
  }
  if (Number(linked.get("opacity"))) state.opacity = clamp(Number(linked.get("opacity")), 10, 100);
  const threshold = Number(linked.get("threshold")) || state.threshold || data.threshold;
  state.threshold = clamp(Math.round(threshold * STEPS) / STEPS, 1 / STEPS, 1 - 1 / STEPS);
  const named = /^\d{1,6}$/.test(linked.get("slice") ?? "") ? Number(linked.get("slice")) : 0;
  viewer.linked = new URLSearchParams();
  return named >= 1 && named <= slices ? named - 1 : undefined;
}

/**
 * Keep the address such that it opens this view; what has its default is left out.
 * @param {Viewer} viewer
 */
function writeLink(viewer) {
  const url = new URL(location.href);
  if (!viewer.follows) url.searchParams.set("slice", String(viewer.position[0] + 1));
  for (const [name, usual] of Object.entries({ ...DEFAULTS, threshold: viewer.data.threshold })) {
    if (viewer.state[name] === usual) url.searchParams.delete(name);
    else url.searchParams.set(name, viewer.state[name]);
  }
  if (url.href !== location.href) history.replaceState(history.state, "", url);
}
