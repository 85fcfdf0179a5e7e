// One picture on screen: where the plane lies in it, and what is drawn over it.

const MAX_ZOOM = 16;

class Pane {
  /**
   * @param {PaneOwner} viewer owns the state and answers to `moveTo`, `windowBy`, `hover`, …
   * @param {HTMLElement} figure has a canvas and a caption
   * @param {Plane} plane
   * @param {Camera} camera
   */
  constructor(viewer, figure, plane, camera) {
    this.viewer = viewer;
    this.figure = figure;
    this.plane = plane;
    this.camera = camera;
    this.canvas = figure.querySelector("canvas");
    this.painter = new Painter(viewer.data.palette);
    this.native = document.createElement("canvas");
    this.pointer = new Pointer(this);
  }

  // --- drawing

  /**
   * @param {Look} look
   * @param {number} at
   * @param {{crosshair?: Point, marks?: Marks}} over
   */
  draw(look, at, { crosshair, marks }) {
    const { study, data } = this.viewer;
    this.resize();
    this.image = this.painter.paint(study, this.plane, at, look);
    onCanvas(this.image, this.native);
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "black";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.place();
    context.setTransform(this.stepX, 0, 0, this.stepY, this.left, this.top);
    context.imageSmoothingEnabled = this.viewer.state.smooth;
    context.drawImage(this.native, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (crosshair) this.drawCrosshair(context, crosshair);
    if (marks) this.drawMarks(context, marks);
    if (data.edges) this.drawLetters(context, this.letters(data));
  }

  /** Show no picture, and answer no pointer until there is one again. */
  clear() {
    this.image = undefined;
    this.pointer.action = undefined;
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.canvas.ariaLabel = t("Loading the slices …");
  }

  resize() {
    const ratio = globalThis.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.ratio = ratio;
  }

  /** Work out canvas pixels for each image pixel, and where the image's corner is. */
  place() {
    const { width, height } = this.canvas;
    const [sizeX, sizeY] = this.pixelSize();
    const fit = Math.min(width / (this.image.width * sizeX), height / (this.image.height * sizeY));
    this.stepX = fit * sizeX * this.camera.zoom;
    this.stepY = fit * sizeY * this.camera.zoom;
    this.left = width / 2 - this.camera.x * this.image.width * this.stepX;
    this.top = height / 2 - this.camera.y * this.image.height * this.stepY;
  }

  /**
   * How wide and how high an image pixel is, in millimetres if they are known.
   * @returns {Point}
   */
  pixelSize() {
    const [slice, row, column] = this.viewer.spacing;
    if (this.plane === CORONAL) return [column, slice];
    if (this.plane === SAGITTAL) return [row, slice];
    return [column, row];
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Point} at
   */
  drawCrosshair(context, [x, y]) {
    context.strokeStyle = "rgba(255, 255, 255, 0.55)";
    context.lineWidth = this.ratio;
    const [screenX, screenY] = this.toScreen([x + 0.5, y + 0.5]);
    context.beginPath();
    context.moveTo(screenX, 0);
    context.lineTo(screenX, this.canvas.height);
    context.moveTo(0, screenY);
    context.lineTo(this.canvas.width, screenY);
    context.stroke();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Marks} marks
   */
  drawMarks(context, { drawn, measure, spacing, colour }) {
    context.lineWidth = 2 * this.ratio;
    context.strokeStyle = context.fillStyle = `rgb(${colour})`;
    if (drawn) this.drawMask(context, drawn, colour);
    if (!measure) return;
    const [from, to] = measure.map((point) => this.toScreen(point));
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    context.font = `${13 * this.ratio}px sans-serif`;
    context.fillText(distanceText(measure, spacing), to[0] + 8 * this.ratio, to[1]);
  }

  /**
   * The visitor's mask, as it is scored: its area faint, its edge in full.
   * @param {CanvasRenderingContext2D} context
   * @param {Uint8Array} drawn
   * @param {Rgb} colour
   */
  drawMask(context, drawn, colour) {
    const { width, height } = this.image;
    const image = new ImageData(width, height);
    drawn.forEach((inside, i) => {
      if (inside) image.data.set([...colour, isEdge(drawn, i, width, height) ? 255 : 90], 4 * i);
    });
    context.setTransform(this.stepX, 0, 0, this.stepY, this.left, this.top);
    context.drawImage(onCanvas(image, this.native), 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /**
   * What lies beyond the left, right, top and bottom edge; in cuts through the slices the last slice is on top.
   * @param {{edges: [string, string, string, string], slice_ends: [string, string]}} data
   * @returns {[string, string, string, string]}
   */
  letters({ edges: [left, right, top, bottom], slice_ends: [first, last] }) {
    if (this.plane === CORONAL) return [left, right, last, first];
    if (this.plane === SAGITTAL) return [top, bottom, last, first];
    return [left, right, top, bottom];
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {[string, string, string, string]} letters
   */
  drawLetters(context, [left, right, top, bottom]) {
    const { width, height } = this.canvas;
    const margin = 12 * this.ratio;
    context.font = `600 ${14 * this.ratio}px sans-serif`;
    context.fillStyle = "white";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(left, margin, height / 2);
    context.fillText(right, width - margin, height / 2);
    context.fillText(top, width / 2, margin);
    context.fillText(bottom, width / 2, height - margin);
    context.textAlign = "start";
  }

  /**
   * @param {Point} point of the picture
   * @returns {Point} of the canvas
   */
  toScreen([x, y]) {
    return [this.left + x * this.stepX, this.top + y * this.stepY];
  }

  /**
   * Image coordinates of a pointer event.
   * @param {{clientX: number, clientY: number}} event
   * @returns {Point}
   */
  toImage(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * (this.canvas.width / box.width);
    const y = (event.clientY - box.top) * (this.canvas.height / box.height);
    return [(x - this.left) / this.stepX, (y - this.top) / this.stepY];
  }

  /**
   * The voxel (z, y, x) under a point of this plane, or undefined outside the picture.
   * @param {Point} point
   * @returns {Triple | undefined}
   */
  toVoxel([x, y]) {
    const column = Math.floor(x), row = Math.floor(y);
    if (!this.image || column < 0 || row < 0 || column >= this.image.width || row >= this.image.height) return undefined;
    const { position } = this.viewer;
    const slices = this.viewer.study.shape[0];
    if (this.plane === CORONAL) return [slices - 1 - row, position[1], column];
    if (this.plane === SAGITTAL) return [slices - 1 - row, column, position[2]];
    return [position[0], row, column];
  }

  // --- camera

  /** @param {Point} moved in CSS pixels */
  pan([x, y]) {
    this.camera.x -= (x * this.ratio) / (this.stepX * this.image.width);
    this.camera.y -= (y * this.ratio) / (this.stepY * this.image.height);
    this.keepInSight();
  }

  /**
   * Zoom so that what is under the pointer stays there.
   * @param {{clientX: number, clientY: number}} event
   * @param {number} factor
   */
  zoomAt(event, factor) {
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.camera.zoom * factor));
    const [x, y] = this.toImage(event).map((value, i) => value / (i ? this.image.height : this.image.width));
    const share = 1 - this.camera.zoom / zoom;
    this.camera.x += (x - this.camera.x) * share;
    this.camera.y += (y - this.camera.y) * share;
    this.camera.zoom = zoom;
    this.keepInSight();
  }

  keepInSight() {
    if (this.camera.zoom === 1) this.camera.x = this.camera.y = 0.5;
    this.camera.x = Math.min(1, Math.max(0, this.camera.x));
    this.camera.y = Math.min(1, Math.max(0, this.camera.y));
    this.viewer.redraw();
  }
}
