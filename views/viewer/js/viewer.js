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
    /** @type {string | undefined} the view that Python was told last, as JSON */
    this.told = undefined;
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
    speak(data.words);
    if (elsewhere) this.linked = new URLSearchParams(data.start);
    if (!this.panes) this.build();
    if (another) this.open();
    if (data.model.epochs) this.study.keepModels(new Set(this.networks().flatMap(({ epochs }) => epochs.map(({ id }) => id))));
    if (elsewhere && !another) this.begin();
    this.keepToWhatThereIs();
    this.changed();
    if (isHeard(this)) this.leaving.release();
  }

  /** Leave what this volume cannot show: links and earlier volumes name it all the same. */
  keepToWhatThereIs() {
    const { state, data } = this;
    if (!data.has_expected && ["Expected", "Errors"].includes(state.overlay)) state.overlay = DEFAULTS.overlay;
    if (data.names && state.layout === "planes") state.layout = DEFAULTS.layout;
  }

  /** What the two panes show: the chosen pair, or where that is not to be had the one that always is. */
  get pair() {
    return canShow(this.data, this.state.pair) ? this.state.pair : FREE_PAIR;
  }

  build() {
    const figures = [...this.root.querySelectorAll(".pane")];
    /** @type {Plane[]} */
    const planes = [AXIAL, AXIAL, CORONAL, SAGITTAL];
    this.panes = planes.map((plane, i) => new Pane(this, figures[i], plane, /** @type {Camera} */ (this.cameras[plane])));
    this.maps = new Maps(this);
    buildControls(this);
    listenToStrip(this);
    this.observer.observe(this.root);
    if (this.data.comes_into_view) this.root.scrollIntoView();
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
    blank(this); // before the next frame is drawn the pointer may move, over pictures that are no more
  }

  /** Go where the link or the page says, else where the largest lesion is, as soon as that is known. */
  begin() {
    const [slices, rows, columns] = this.data.shape;
    const slice = readLink(this, slices);
    this.follows = slice === undefined;
    this.position = [slice ?? slices >> 1, rows >> 1, columns >> 1];
  }

  /** Go to the largest lesion, as soon as all slices are segmented. */
  follow() {
    const { study, data, model } = this;
    if (data.shape[0] !== study.arrived(model.id) || !study.shape) return;
    this.follows = false;
    this.position = largestLesion(this) ?? this.position;
    this.rest();
  }

  // --- networks in training: one prediction for each epoch

  networks() {
    return [this.data.model, this.data.other].filter(Boolean);
  }

  get epochs() {
    return epochsOf(this.networks());
  }

  get epochIndex() {
    return Math.max(0, this.epochs.findLastIndex((epoch) => epoch <= this.state.epoch));
  }

  /** Choose an epoch; after the newest one the view goes on with the run. */
  goToEpoch(index) {
    const { epochs } = this;
    this.state.epoch = index < epochs.length - 1 ? epochs[index] : Infinity;
    this.changed();
  }

  stepEpoch(by) {
    if (this.epochs.length) this.goToEpoch(clamp(this.epochIndex + by, 0, this.epochs.length - 1));
  }

  atEpoch(network) {
    return networkAt(network, this.state?.epoch);
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
    const channel = CHANNELS[this.state.channel];
    this.windows[channel] = draggedWindow(this.windows[channel], this.data.windows[channel], right, down);
    this.presets[channel] = ""; // none of them, so that each can be chosen
    this.changed();
  }

  preset(name) {
    const channel = CHANNELS[this.state.channel];
    this.windows[channel] = presetWindow(this.data.windows[channel], name);
    this.presets[channel] = name;
    this.changed();
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
      mask: () => saveMask(this),
      overlay: () => saveOverlay(this),
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
    this.find(".pixel").textContent = voxel && this.study.shape ? pixelText(this, voxel) : "";
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

  draw() {
    showControls(this);
    this.find(".progress").textContent = progressText(this);
    for (const { figure } of this.panes) figure.hidden = !figure.dataset.in.split(" ").includes(this.state.layout);
    if (!this.study.shape) return blank(this);
    if (this.follows) this.follow();
    drawPanes(this);
    drawStrip(this);
    showNumbers(this);
    showLegend(this);
    this.find(".where").textContent = placeText(this);
    this.frames += 1;
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
      if (!this.data.start) writeLink(this); // else the address is not about this view
      announce(this);
      if (!this.playing) tellPython(this);
    }, this.restMilliseconds);
  }

  close() {
    this.pause();
    clearTimeout(this.resting);
    this.leaving.close();
    this.study?.listeners.delete(this.redraw);
    this.observer.disconnect();
  }
}
