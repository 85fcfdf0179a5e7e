// The slice viewer: its state, and what happens when it changes. After the parcels have come everything is local:
// scrolling, thresholds and scores never ask the server. Python is told where the view came to rest.

const CINE_MILLISECONDS = 100;
const REST_MILLISECONDS = 400;
const NARROW = 900; // CSS pixels
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

class Viewer {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    /** @type {State} */
    this.state = { ...DEFAULTS, tool: "move", radius: 4, smooth: true, hidden: false, epoch: Infinity };
    this.linked = new URLSearchParams(location.search);
    this.outline = new Outline();
    /** @type {Record<Plane, Partial<Camera>>} filled by `reset` */
    this.cameras = { [AXIAL]: {}, [CORONAL]: {}, [SAGITTAL]: {} };
    /** @type {Plane} */
    this.plane = AXIAL; // that the keys move through
    this.restMilliseconds = REST_MILLISECONDS;
    this.left = false; // for another page
    this.leaving = new Leaving(this);
    this.frames = 0; // drawn so far, for whoever wants to measure
    this.redraw = this.redraw.bind(this);
    this.observer = new ResizeObserver(() => {
      root.toggleAttribute("data-narrow", root.clientWidth < NARROW);
      this.redraw();
    });
  }

  /**
   * Take what Python says of the volume; called again whenever that, or the theme, changes.
   * @param {Description} data
   * @param {(view: object) => void} tell
   */
  update(data, tell) {
    const another = data.volume !== this.data?.volume;
    const elsewhere = data.start && JSON.stringify(data.start) !== JSON.stringify(this.data?.start);
    this.tell = tell;
    this.data = data;
    if (elsewhere) this.linked = new URLSearchParams(data.start);
    if (!this.panes) this.build();
    if (another) this.open();
    if (data.model.epochs) this.study.keepModels(new Set(this.networks().flatMap(({ epochs }) => epochs.map(({ id }) => id))));
    if (elsewhere && !another) this.begin();
    this.keepToWhatThereIs();
    this.changed();
    if (this.isHeard()) this.leaving.release();
  }

  /** Leave what this volume cannot show: links and earlier volumes name it all the same. */
  keepToWhatThereIs() {
    const { state, data } = this;
    if (!data.has_expected && ["Expected", "Errors"].includes(state.overlay)) state.overlay = DEFAULTS.overlay;
    if (data.names && state.layout === "planes") state.layout = DEFAULTS.layout;
  }

  /** What the two panes show: the chosen pair, or where that is not to be had the one that always is. */
  get pair() {
    return this.canShow(this.state.pair) ? this.state.pair : FREE_PAIR;
  }

  /** Whether both panes have a channel, or overlay, of their own, whatever is chosen for it. */
  pairDecides(name) {
    return this.state.layout === "two" && PAIRS[this.pair].every((own) => name in own);
  }

  canShow(pair) {
    const { has_expected: expected, other } = this.data;
    return PAIRS[pair].every((own) => (other || !own.other) && (expected || own.overlay !== "Expected"));
  }

  build() {
    const figures = [...this.root.querySelectorAll(".pane")];
    /** @type {Plane[]} */
    const planes = [AXIAL, AXIAL, CORONAL, SAGITTAL];
    this.panes = planes.map((plane, i) => new Pane(this, figures[i], plane, /** @type {Camera} */ (this.cameras[plane])));
    this.maps = new Maps(this);
    buildControls(this);
    const strip = this.find(".strip");
    const jump = (event) => {
      const box = strip.getBoundingClientRect();
      const slices = this.data.shape[0];
      this.moveTo([clamp(Math.floor(((event.clientX - box.left) / box.width) * slices), 0, slices - 1)]);
    };
    strip.onpointerdown = (event) => {
      strip.setPointerCapture(event.pointerId);
      jump(event);
    };
    strip.onpointermove = (event) => event.buttons && jump(event);
    strip.onkeydown = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) this.step(AXIAL, by);
    };
    this.observer.observe(this.root);
  }

  open() {
    this.study?.listeners.delete(this.redraw);
    this.study = studyOf(this.data.volume);
    this.study.listeners.add(this.redraw);
    this.begin();
    this.spacing = this.data.spacing ?? this.data.assumed_spacing;
    this.outline = new Outline();
    this.pause();
    this.reset();
    this.blank(); // before the next frame is drawn the pointer may move, over pictures that are no more
  }

  /** Go where the link or the page says, else where the largest lesion is, as soon as that is known. */
  begin() {
    const [slices, rows, columns] = this.data.shape;
    const slice = this.readLink(slices);
    this.follows = slice === undefined;
    this.position = [slice ?? slices >> 1, rows >> 1, columns >> 1];
  }

  /** Take the view from the link, once: afterwards the visitor decides. Returns the slice it names, if any. */
  readLink(slices) {
    const { state, linked } = this;
    for (const name of ["channel", "overlay", "style", "layout", "pair"]) {
      if (Object.hasOwn(CHOICES[name], linked.get(name))) state[name] = linked.get(name);
    }
    if (Number(linked.get("opacity"))) state.opacity = clamp(Number(linked.get("opacity")), 10, 100);
    const threshold = Number(linked.get("threshold")) || state.threshold || this.data.threshold;
    state.threshold = clamp(Math.round(threshold * STEPS) / STEPS, 1 / STEPS, 1 - 1 / STEPS);
    const named = /^\d{1,6}$/.test(linked.get("slice") ?? "") ? Number(linked.get("slice")) : 0;
    this.linked = new URLSearchParams();
    return named >= 1 && named <= slices ? named - 1 : undefined;
  }

  /** Go to the slice with the largest predicted lesion, else the largest expected one. */
  follow() {
    const { study, data, model, state } = this;
    const counts = data.shape[0] === study.arrived(model.id) && study.shape;
    if (!counts) return;
    this.follows = false;
    const predicted = Array.from({ length: data.shape[0] }, (_, z) => study.counts(model.id, z, state.threshold).predicted);
    const areas = predicted.some(Boolean) ? predicted : study.expectedArea;
    const largest = areas.indexOf(Math.max(...areas));
    if (areas[largest]) this.position = [largest, ...this.middle(largest)];
    this.rest();
  }

  /** The middle (y, x) of the lesion on a slice, so that the other planes cut through it. */
  middle(z) {
    const [, rows, columns] = this.data.shape;
    const predicted = this.study.predicted(this.model.id, z, this.state.threshold);
    let count = 0, sumY = 0, sumX = 0;
    for (let i = 0, v = z * rows * columns; i < rows * columns; i++, v++) {
      if (!predicted[i] && !this.study.expected[v]) continue;
      count += 1;
      sumY += Math.floor(i / columns);
      sumX += i % columns;
    }
    return [Math.round(sumY / count), Math.round(sumX / count)];
  }

  // --- networks that are still learning: one prediction for each epoch

  networks() {
    return [this.data.model, this.data.other].filter(Boolean);
  }

  /** The epochs that can be chosen, ascending; none where the networks have finished learning. */
  get epochs() {
    const all = this.networks().flatMap((network) => network.epochs ?? []);
    return [...new Set(all.map(({ epoch }) => epoch))].sort((a, b) => a - b);
  }

  get epochIndex() {
    return Math.max(0, this.epochs.findLastIndex((epoch) => epoch <= this.state.epoch));
  }

  /** The newest one is followed: the view goes on with the run. */
  goToEpoch(index) {
    const { epochs } = this;
    this.state.epoch = index < epochs.length - 1 ? epochs[index] : Infinity;
    this.changed();
  }

  stepEpoch(by) {
    if (this.epochs.length) this.goToEpoch(clamp(this.epochIndex + by, 0, this.epochs.length - 1));
  }

  /** A network as it was after the chosen epoch, or after the last one before it that there is. */
  atEpoch(network) {
    if (!network?.epochs) return network;
    const chosen = network.epochs.findLast(({ epoch }) => epoch <= this.state.epoch) ?? network.epochs[0];
    return { ...chosen, cells: network.cells[chosen.size] };
  }

  /** The network whose prediction is shown, scored and followed. */
  get model() {
    return this.atEpoch(this.data.model);
  }

  // --- changes

  set(name, value) {
    if (name === "tool" && value !== "measure") this.measured = undefined;
    if (name === "layout" || name === "tool") this.plane = AXIAL;
    this.state[name] = value;
    // what is chosen would not be seen in panes that have their own
    if (this.state.layout === "two" && PAIRS[this.pair].some((own) => name in own)) this.state.pair = FREE_PAIR;
    if (name === "overlay" || name === "threshold") this.state.hidden = false;
    this.changed();
  }

  step(plane, by) {
    const axis = { [AXIAL]: 0, [CORONAL]: 1, [SAGITTAL]: 2 }[plane];
    const position = [...this.position];
    position[axis] = clamp(position[axis] + by, 0, this.data.shape[axis] - 1);
    this.plane = plane;
    this.moveTo(position);
  }

  /** Go to a voxel (z, y, x); what is left out stays. */
  moveTo(voxel) {
    if (!voxel) return;
    this.follows = false;
    if (voxel[0] !== this.position[0]) this.measured = undefined;
    this.position = [...voxel, ...this.position.slice(voxel.length)];
    this.changed();
  }

  windowBy(right, down) {
    const { windows, opened, channel } = this.window();
    const [low, high] = windows[channel];
    const span = opened[1] - opened[0];
    const width = Math.max(span / 100, high - low + (right * span) / 300);
    const middle = (low + high) / 2 + (down * span) / 300;
    windows[channel] = [middle - width / 2, middle + width / 2];
    this.presets[channel] = ""; // none of them, so that each can be chosen
    this.changed();
  }

  preset(name) {
    const { windows, opened, channel } = this.window();
    const [factor, shift] = PRESETS[name];
    const span = opened[1] - opened[0];
    const middle = (opened[0] + opened[1]) / 2 + shift * span;
    windows[channel] = [middle - (span * factor) / 2, middle + (span * factor) / 2];
    this.presets[channel] = name;
    this.changed();
  }

  window() {
    const channel = CHANNELS[this.state.channel];
    return { windows: this.windows, opened: this.data.windows[channel], channel };
  }

  reset() {
    for (const camera of Object.values(this.cameras)) Object.assign(camera, { zoom: 1, x: 0.5, y: 0.5 });
    this.windows = structuredClone(this.data.windows);
    this.measured = undefined;
    this.presets = {}; // by channel, where it is not as opened
  }

  zoom(factor) {
    const camera = this.cameras[this.plane];
    camera.zoom = clamp(camera.zoom * factor, 1, MAX_ZOOM);
    if (camera.zoom === 1) camera.x = camera.y = 0.5;
    this.changed();
  }

  measure(points) {
    this.measured = points;
    this.changed();
  }

  /**
   * @param {"begin" | "extend" | "end"} what
   * @param {Point} [point]
   */
  drawOutline(what, point) {
    const { state, outline, position } = this;
    if (what === "begin") outline.begin(position[0], /** @type {Stroke["kind"]} */ (state.tool), state.radius, point);
    if (what === "extend") outline.extend(point);
    this.changed();
  }

  drawnMask() {
    return this.outline.mask(this.position[0], this.data.shape[1], this.data.shape[2]);
  }

  do(what) {
    const actions = {
      hide: () => (this.state.hidden = !this.state.hidden),
      cine: () => (this.playing ? this.pause() : this.play()),
      reset: () => this.reset(),
      undo: () => this.outline.undo(this.position[0]),
      clear: () => this.outline.clear(this.position[0]),
      help: () => this.find("dialog").showModal(),
      fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen()),
      mask: () => this.saveMask(),
      overlay: () => this.saveOverlay(),
    };
    actions[what]();
    this.changed();
  }

  play() {
    this.playing = setInterval(() => {
      this.moveTo([(this.position[0] + 1) % this.data.shape[0]]);
    }, CINE_MILLISECONDS);
  }

  pause() {
    clearInterval(this.playing);
    this.playing = undefined;
  }

  hover(voxel) {
    const output = this.find(".pixel");
    const { study, data } = this;
    if (!voxel || !study.shape) return (output.textContent = "");
    const [z, y, x] = voxel;
    const v = (z * data.shape[1] + y) * data.shape[2] + x;
    const intensity = (channel) => {
      const value = study.images[3 * v + channel] * study.unit[channel].scale + study.unit[channel].offset;
      return Number.isInteger(value) ? value : value.toPrecision(4);
    };
    const probability = study.models.get(this.model.id)?.probability[v];
    output.textContent =
      `x ${x}, y ${y}` +
      (this.state.layout === "planes" ? `, slice ${z + 1}` : "") +
      (data.names ? "" : ` · pre ${intensity(0)}, FLAIR ${intensity(1)}, post ${intensity(2)}`) + // else grey values
      (probability === undefined ? "" : ` · probability ${HALF_VALUES[probability].toFixed(3)}`);
  }

  // --- showing

  changed() {
    this.rest();
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  look() {
    const { state } = this;
    return {
      channel: CHANNELS[state.channel],
      windows: this.windows,
      overlay: state.hidden ? "None" : state.overlay,
      outline: state.style === "Outline",
      opacity: state.opacity / 100,
      threshold: state.threshold,
      model: this.model,
    };
  }

  draw() {
    const { study, data, model } = this;
    showControls(this);
    this.find(".progress").textContent = this.progress();
    for (const { figure } of this.panes) figure.hidden = !figure.dataset.in.split(" ").includes(this.state.layout);
    if (!study.shape) return this.blank();
    if (this.follows) this.follow();
    this.drawPanes();
    drawStrip(this);
    showNumbers(this);
    showLegend(this);
    this.find(".where").textContent = this.where();
    this.frames += 1;
  }

  /** How far the networks are; when they are done, what ran. */
  progress() {
    const { study, data, model } = this;
    if (!study.shape) return study.problem ?? "The slices are on their way …";
    const other = data.other && this.atEpoch(data.other);
    for (const [network, who] of [[model, "The network"], [other, other?.name]]) {
      const arrived = network ? study.arrived(network.id) : data.shape[0];
      if (arrived < data.shape[0]) return study.problem ?? `${who} looks at every slice: ${arrived} of ${data.shape[0]}`;
    }
    return model.engine;
  }

  /** Show nothing of the patient before, whose slices do not belong under this one's name. */
  blank() {
    for (const pane of this.panes) pane.clear();
    for (const part of [".where", ".numbers", ".note", ".legend", ".pixel"]) this.find(part).textContent = "";
    for (const canvas of this.root.querySelectorAll(".strip, .maps canvas")) {
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    }
  }

  where() {
    const { names, shape, slice_order: order } = this.data;
    const [z] = this.position;
    if (names) return `${names[z]} (${z + 1} of ${shape[0]})`;
    return `Slice ${z + 1} of ${shape[0]}` + (order && `, ${order}`);
  }

  drawPanes() {
    const { state, data, position } = this;
    const look = this.look();
    const [z, y, x] = position;
    const marks = {
      drawn: this.drawnMask(),
      measure: this.measured,
      spacing: data.spacing,
      colour: data.palette.yours,
    };
    const slices = data.shape[0];
    /** @type {Record<Plane, Point>} */
    const crosshairs = { [AXIAL]: [x, y], [CORONAL]: [x, slices - 1 - z], [SAGITTAL]: [y, slices - 1 - z] };
    const pair = state.layout === "two" ? PAIRS[this.pair] : [{}, {}];
    this.panes.forEach((pane, i) => {
      if (pane.figure.hidden) return;
      const own = pair[i] ?? {};
      const paneLook = { ...look, ...own, channel: CHANNELS[own.channel ?? state.channel], model: own.other ? this.atEpoch(data.other) : look.model };
      if (state.hidden) paneLook.overlay = "None";
      pane.draw(paneLook, position[[AXIAL, CORONAL, SAGITTAL].indexOf(pane.plane)], {
        crosshair: state.layout === "planes" ? crosshairs[pane.plane] : undefined,
        marks: pane.plane === AXIAL ? marks : undefined,
      });
      const words = [own.channel ?? state.channel, paneLook.overlay === "None" ? "" : paneLook.overlay.toLowerCase()];
      if ("other" in own) words.push(paneLook.model.name);
      pane.canvas.ariaLabel = `${data.names?.[z] ?? data.patient}, ${this.planeName(pane)} slice ${z + 1}, ${words.filter(Boolean).join(", ")}`;
      pane.figure.querySelector("figcaption").textContent = this.caption(pane, words);
    });
  }

  /** What lies over the panes that are on screen. */
  overlaysShown() {
    const { overlay, layout, hidden } = this.state;
    if (hidden) return new Set(["None"]);
    return new Set(layout === "two" ? PAIRS[this.pair].map((own) => own.overlay ?? overlay) : [overlay]);
  }

  /** What the plane of a pane is called in the patient, as slices need not be axial. */
  planeName(pane) {
    return this.data.planes[[AXIAL, CORONAL, SAGITTAL].indexOf(pane.plane)];
  }

  caption(pane, words) {
    if (this.state.layout === "two") return words.filter(Boolean).join(", ");
    if (this.state.layout === "one") return "";
    const known = this.data.spacing || pane.plane === AXIAL;
    const name = this.planeName(pane);
    return known ? name : `${name}, distance between slices unknown: not to scale`;
  }

  /** When nothing has changed for a moment: the slow part of the drawing, the address, and word to Python. */
  rest() {
    clearTimeout(this.resting);
    this.resting = setTimeout(() => {
      if (this.left) return;
      // not all has come yet: a link that names its slice does not follow the lesion, which would rest again
      if (this.study.arrived(this.model.id) < this.data.shape[0]) this.rest();
      if (!this.study.shape) return;
      this.maps.draw();
      if (!this.data.start) this.writeLink(); // else the address is not about this view
      const { predicted } = this.study.counts(this.model.id, this.position[0], this.state.threshold) ?? {};
      this.find("[aria-live]").textContent =
        `${this.find(".where").textContent}. ` + (predicted === undefined ? "" : `Predicted area ${areaText(this, predicted)}.`);
      if (!this.playing) this.tellPython();
    }, this.restMilliseconds);
  }

  /** Tell Python where the view is, where the visitor or the lesion has decided that. */
  tellPython() {
    if (this.left || this.follows || this.data.start || !this.study.shape) return;
    const { strokes } = this.outline;
    const view = { volume: this.data.volume, slice: this.position[0], threshold: this.state.threshold, strokes };
    const words = JSON.stringify(view);
    if (words !== this.told) this.tell(view);
    this.told = words;
  }

  /** Whether Python knows of the volume and the slice that it was told last. */
  isHeard() {
    if (!this.told) return true;
    const { volume, slice } = JSON.parse(this.told);
    return this.data.heard?.volume === volume && this.data.heard.slice === slice;
  }

  /** Keep the address such that it opens this view; what stands at its default is left out. */
  writeLink() {
    const url = new URL(location.href);
    if (!this.follows) url.searchParams.set("slice", String(this.position[0] + 1));
    const standing = { ...DEFAULTS, threshold: this.data.threshold };
    for (const [name, usual] of Object.entries(standing)) {
      if (this.state[name] === usual) url.searchParams.delete(name);
      else url.searchParams.set(name, this.state[name]);
    }
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

  // --- out again

  saveMask() {
    const [, rows, columns] = this.data.shape;
    const image = new ImageData(columns, rows);
    if (!this.study.counts(this.model.id, this.position[0], this.state.threshold)) return; // still on its way
    const mask = this.study.predicted(this.model.id, this.position[0], this.state.threshold);
    mask.forEach((value, i) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i));
    this.save(image, "predicted_mask");
  }

  saveOverlay() {
    if (!this.study.counts(this.model.id, this.position[0], this.state.threshold)) return; // still on its way
    this.save(new Painter(this.data.palette).paint(this.study, AXIAL, this.position[0], this.look()), "overlay");
  }

  save(image, suffix) {
    onCanvas(image).toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.data.patient}_${this.data.slice_numbers[this.position[0]]}_${suffix}.png`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  close() {
    this.pause();
    clearTimeout(this.resting);
    this.leaving.close();
    this.study?.listeners.delete(this.redraw);
    this.observer.disconnect();
  }
}

const viewers = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".viewer");
  if (!viewers.has(root)) viewers.set(root, (root.viewer = new Viewer(root)));
  const viewer = viewers.get(root);
  viewer.update(data, (view) => setStateValue("view", view));
  return () => {
    viewer.close();
    viewers.delete(root);
  };
}
