// What can be chosen, and the HTML controls that choose it.

/** @type {Record<string, Channel>} */
const CHANNELS = { [mark("FLAIR")]: 1, [mark("Pre-contrast")]: 0, [mark("Post-contrast")]: 2, [mark("RGB")]: "RGB" };
const ATTENTIONS = ["Attention 4", "Attention 3", "Attention 2", "Attention 1"]; // coarse to fine, as the decoder goes
const PAIRS = {
  [mark("Expected | Predicted")]: [{ overlay: "Expected" }, { overlay: "Predicted" }],
  [mark("Picture | Overlay")]: [{ overlay: "None" }, {}],
  [mark("FLAIR | Post-contrast")]: [{ channel: "FLAIR" }, { channel: "Post-contrast" }],
  [mark("This network | The other")]: [{ other: false }, { other: true }], // where Python sends a second one
};
const FREE_PAIR = "Picture | Overlay"; // goes with every channel and overlay
// width as a factor on the opening window, and how far its middle moves in that width
const PRESETS = {
  [mark("As opened")]: [1, 0],
  [mark("Bright parts")]: [0.5, 0.25],
  [mark("Dark parts")]: [0.5, -0.25],
  [mark("Low contrast")]: [1.6, 0.1],
};

const OVERLAYS = [mark("Predicted"), mark("Expected"), mark("Errors"), mark("Probability"), ...ATTENTIONS, mark("None")];

/** The values of each choice, with what names the value on the control. */
const CHOICES = {
  channel: Object.fromEntries(Object.keys(CHANNELS).map((code) => [code, () => t(code)])),
  overlay: Object.fromEntries(OVERLAYS.map((code) => [code, () => overlayName(code)])),
  style: { Fill: () => t("Fill"), Outline: () => t("Outline") },
  layout: { one: () => t("One"), two: () => t("Two"), planes: () => t("Three planes") },
  pair: Object.fromEntries(Object.keys(PAIRS).map((code) => [code, () => t(code)])),
  tool: {
    move: () => t("Move"),
    measure: () => t("Measure"),
    lasso: () => t("Lasso"),
    brush: () => t("Brush"),
    erase: () => t("Erase"),
  },
};
const DEFAULTS = { channel: "FLAIR", overlay: "Predicted", style: "Fill", opacity: 45, layout: "one", pair: "Expected | Predicted" };

const HELP = [
  [mark("Wheel, ↑ ↓"), mark("one slice; up is the next one. Page ↑ ↓: five slices. Home, End: first and last slice")],
  ["[ ]", mark("one epoch back or forward, where a network is still in training")],
  ["1 2 3 4", mark("FLAIR, pre-contrast, post-contrast, RGB")],
  ["H", mark("hide or show the overlay")],
  ["O", mark("mask as fill or as outline")],
  ["C", mark("play through the slices")],
  [mark("Right drag"), mark("window (sideways) and level (up and down); this does not change the network's input")],
  [mark("Ctrl + wheel, + −"), mark("zoom; drag to move the picture")],
  [mark("Space"), mark("reset zoom, position and window")],
  [mark("M L B E, Esc"), mark("measure, lasso, brush, erase; Esc: move")],
  ["I", mark("smooth or square pixels")],
  ["F", mark("full screen")],
  [mark("Touch"), mark("one finger up or down: through the slices; two fingers: zoom and move")],
];

/** What a key does, by `KeyboardEvent.key` in lower case. */
const KEYS = {
  arrowup: (viewer) => viewer.step(viewer.plane, 1),
  arrowdown: (viewer) => viewer.step(viewer.plane, -1),
  pageup: (viewer) => viewer.step(viewer.plane, 5),
  pagedown: (viewer) => viewer.step(viewer.plane, -5),
  home: (viewer) => viewer.step(viewer.plane, -Infinity),
  end: (viewer) => viewer.step(viewer.plane, Infinity),
  1: (viewer) => viewer.set("channel", "FLAIR"),
  2: (viewer) => viewer.set("channel", "Pre-contrast"),
  3: (viewer) => viewer.set("channel", "Post-contrast"),
  4: (viewer) => viewer.set("channel", "RGB"),
  "[": (viewer) => viewer.stepEpoch(-1),
  "]": (viewer) => viewer.stepEpoch(1),
  h: (viewer) => viewer.do("hide"),
  o: (viewer) => viewer.set("style", viewer.state.style === "Fill" ? "Outline" : "Fill"),
  c: (viewer) => viewer.do("cine"),
  " ": (viewer) => viewer.do("reset"),
  m: (viewer) => viewer.set("tool", "measure"),
  l: (viewer) => viewer.set("tool", "lasso"),
  b: (viewer) => viewer.set("tool", "brush"),
  e: (viewer) => viewer.set("tool", "erase"),
  escape: (viewer) => viewer.set("tool", "move"),
  i: (viewer) => viewer.set("smooth", !viewer.state.smooth),
  f: (viewer) => viewer.do("fullscreen"),
  "+": (viewer) => viewer.zoom(1.25),
  "-": (viewer) => viewer.zoom(0.8),
  "?": (viewer) => viewer.do("help"),
};

/** Whether a pair of panes can be shown: it may need a second network or expected masks. */
function canShow({ has_expected: expected, other }, pair) {
  return PAIRS[pair].every((own) => (other || !own.other) && (expected || own.overlay !== "Expected"));
}

/** Whether both panes have a channel, or overlay, of their own, whatever is chosen for it. */
function pairDecides({ state, pair }, name) {
  return state.layout === "two" && PAIRS[pair].every((own) => name in own);
}

/** Fill the empty groups and lists of `viewer.html`, and listen to all of it. */
function buildControls(viewer) {
  const { root } = viewer;
  translatePage(root);
  for (const group of root.querySelectorAll("[data-radio]")) {
    const name = group.dataset.radio;
    group.innerHTML = Object.entries(CHOICES[name])
      .map(([value, word]) => `<label><input type="radio" name="${name}" value="${value}" />${word()}</label>`)
      .join("");
    group.onchange = (event) => viewer.set(name, event.target.value);
  }
  for (const [name, options] of [["pair", PAIRS], ["preset", PRESETS]]) {
    const select = root.querySelector(`[data-select=${name}]`);
    select.innerHTML = Object.keys(options).map((code) => `<option value="${code}">${t(code)}</option>`).join("");
    select.onchange = () => (name === "preset" ? viewer.preset(select.value) : viewer.set(name, select.value));
  }
  for (const range of root.querySelectorAll("[data-range]")) {
    range.oninput = () => viewer.set(range.dataset.range, Number(range.value));
  }
  const epoch = root.querySelector("[data-epochs]");
  epoch.oninput = () => viewer.goToEpoch(Number(epoch.value));
  for (const button of root.querySelectorAll("[data-do]")) button.onclick = () => viewer.do(button.dataset.do);
  root.querySelector("dialog").innerHTML =
    `<table>${HELP.map(([key, words]) => `<tr><td><kbd>${t(key)}</kbd></td><td>${t(words)}</td></tr>`).join("")}</table>` +
    `<form method="dialog"><button>${t("Close")}</button></form>`;
  listenToKeys(viewer);
}

/** Keys work while the pointer is over the viewer or the focus in it, and never take a key from a control that uses it. */
function listenToKeys(viewer) {
  const { root } = viewer;
  let over = false;
  root.addEventListener("pointerenter", () => (over = true));
  root.addEventListener("pointerleave", () => (over = false));
  const handler = (event) => {
    const target = event.composedPath()[0];
    if (!root.isConnected) return document.removeEventListener("keydown", handler);
    const inside = event.composedPath().includes(root);
    if ((!inside && !over) || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!inside && target.matches?.("input, textarea, select, [contenteditable], button")) return;
    const key = event.key.toLowerCase();
    const ownKeys = target.matches?.("input, select") ? /^(arrow|page|home|end)/ : target.matches?.("button") ? /^ $/ : /^$/;
    if (ownKeys.test(key) || root.querySelector("dialog").open || !KEYS[key]) return;
    event.preventDefault();
    KEYS[key](viewer);
  };
  document.addEventListener("keydown", handler);
}

/** Make the controls show the state. */
function showControls(viewer) {
  const { root, state, data } = viewer;
  for (const group of root.querySelectorAll("[data-radio]")) {
    for (const input of group.querySelectorAll("input")) {
      input.checked = input.value === state[group.dataset.radio] && !pairDecides(viewer, group.dataset.radio);
      if (input.value === "planes") input.disabled = Boolean(data.names); // slices of several patients are no volume
      if (group.dataset.radio === "overlay") input.disabled = !data.has_expected && ["Expected", "Errors"].includes(input.value);
    }
  }
  for (const range of root.querySelectorAll("[data-range]")) range.value = state[range.dataset.range];
  showEpochs(viewer);
  const pair = root.querySelector("[data-select=pair]");
  pair.value = viewer.pair;
  root.querySelector("[data-select=preset]").value = viewer.presets[CHANNELS[state.channel]] ?? "As opened";
  pair.hidden = state.layout !== "two";
  for (const option of pair.options) option.hidden = !canShow(data, option.value);
  root.querySelector("[data-value=opacity]").textContent = `${state.opacity} %`;
  root.querySelector("[data-value=threshold]").textContent = state.threshold.toFixed(2);
  const hide = root.querySelector("[data-do=hide]");
  hide.textContent = state.hidden ? t("Show overlay") : t("Hide overlay");
  hide.ariaPressed = state.hidden;
  const cine = root.querySelector("[data-do=cine]");
  cine.textContent = viewer.playing ? t("Pause") : t("Play");
  cine.ariaPressed = Boolean(viewer.playing);
  for (const name of ["undo", "clear"]) root.querySelector(`[data-do=${name}]`).disabled = !viewer.drawnMask();
  root.dataset.layout = state.layout;
  root.dataset.tool = state.tool;
}

/** The slider through the epochs, where there is more than one epoch. */
function showEpochs(viewer) {
  const { root, epochs, epochIndex } = viewer;
  const slider = root.querySelector("[data-epochs]");
  root.querySelector(".epochs").hidden = epochs.length < 2;
  slider.max = epochs.length - 1; // before the value, which it would cut
  slider.value = epochIndex;
  const places = { epoch: epochs[epochIndex], last: epochs.at(-1) };
  slider.ariaValueText = t("epoch {epoch} of {last}", places);
  root.querySelector("[data-value=epoch]").textContent = t("{epoch} of {last}", places);
}
